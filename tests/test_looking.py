"""The commands and the notebook of ``docs/looking.md``, run as a reader would."""

import base64
import io
import re
from pathlib import Path

import pytest
import torch
from helpers import IMAGE, batches, tiny, train
from PIL import Image

from gan_lightning.cli import main
from gan_lightning.grids import Film, Grid

PAGE = Path(__file__).parents[1] / "docs" / "looking.md"
TEXT = PAGE.read_text()
BLOCKS = [block for kind, block in re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL) if not kind]
COMMANDS = [
    line.removeprefix("gan-lightning ") for block in BLOCKS for line in block.strip().splitlines()
]
GRIDS = [command for command in COMMANDS if command.startswith("grid ")]
(NOTEBOOK,) = re.findall(r"```python\n(from gan_lightning import.*?)```", TEXT, re.DOTALL)
RUN = "runs/Digits-DCGAN/version_0"


@pytest.fixture(scope="module")
def digits(fit_once):
    """A short run with classes."""
    return fit_once(
        *("--model=DCGAN", "--data=Digits", "--data.conditional=true", "--data.batch_size=16"),
        *("--model.generator_width=8", "--model.critic_width=8", "--trainer.max_steps=2"),
        *("--trainer.val_check_interval=1", "--evaluate.num_samples=20"),
    )


@pytest.fixture(scope="module")
def styles(tmp_path_factory):
    """A StyleGAN after an update."""
    folder = tmp_path_factory.mktemp("styles")
    trainer = train(tiny("stylegan", IMAGE), batches(IMAGE), max_steps=1)
    trainer.save_checkpoint(folder / "checkpoints" / "last.ckpt")
    return folder


def test_every_command_is_one_that_is_tried():
    others = [command for command in COMMANDS if command not in GRIDS]
    # tests/test_demo.py serves the page.
    assert others == ["pip install 'gan-lightning[demo]'", "demo --ckpt_path RUN"]
    kinds = {re.search(r"--kind (\w+)", command)[1] for command in GRIDS}
    assert kinds == {"training", "walk", "nearest", "classes", "truncation", "mixing", "noise"}


@pytest.mark.parametrize("command", GRIDS)
def test_a_command_writes_what_the_page_says(command, digits, styles, capsys):
    kind = re.search(r"--kind (\w+)", command)[1]
    run = styles if kind in ("mixing", "noise") else digits
    main([str(run) if word == "RUN" else word for word in command.split()])
    is_film = kind == "training" or "--film" in command
    name = f"{kind}.{'webp' if is_film else 'png'}"
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {name}"
    assert f"`{name}`" in TEXT or "--film" in command
    with Image.open(name) as picture:
        assert (getattr(picture, "n_frames", 1) > 1) == is_film


def test_a_notebook_s_cells_make_pictures(digits):
    text = NOTEBOOK.replace(RUN, str(digits))
    parts = text.strip().splitlines()
    names = {"images": torch.rand(40, 1, 8, 8) * 2 - 1}
    exec("\n".join(line for line in parts if re.match(r"from |\w+ = ", line)), names)
    made = [eval(line, names) for line in parts if re.match(r"[\w]+\(", line)]
    assert [type(each) for each in made] == [Grid, Grid, Film, Film, Grid]
    for each in made:
        with Image.open(io.BytesIO(each._repr_png_())) as picture:
            assert min(picture.size) > 100


@pytest.mark.slow
def test_a_notebook_shows_pictures_and_one_bar(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="notebooks are NOT TESTED: no nbformat")
    nbclient = pytest.importorskip("nbclient", reason="notebooks are NOT TESTED: no nbclient")
    pytest.importorskip("ipykernel", reason="notebooks are NOT TESTED: no ipykernel")
    cells = [
        "from gan_lightning import DCGAN, Trainer\n"
        "from gan_lightning.data import Digits\n"
        "from gan_lightning.grids import Grid, training_film\n"
        "model = DCGAN((1, 8, 8), generator_width=8, critic_width=8)\n"
        "trainer = Trainer(max_steps=40, val_check_interval=20, accelerator='cpu')\n"
        "trainer.fit(model, Digits(batch_size=16))",
        "Grid(model.sample(8), 4)",
        "training_film(trainer.log_dir)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    fit, grid, film = (cell.outputs for cell in notebook.cells)
    shown = " ".join(str(each.get("text", each.get("data"))) for each in fit)
    # A bar of widgets, or a line of text where there are none.
    assert shown.count("model_id") == 1 or "40/40" in shown
    assert "Traceback" not in shown
    for outputs, frames in ((grid, 1), (film, 3)):
        (output,) = outputs
        with Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"]))) as picture:
            assert getattr(picture, "n_frames", 1) == frames
