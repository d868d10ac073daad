"""``gan-lightning export`` and ``weights``, and the commands of ``docs/sharing.md``."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from helpers import IMAGE, batches, tiny, train
from hub_server import USER

from gan_lightning import GAN, list_pretrained, load
from gan_lightning.cli import main
from gan_lightning.cli.program import main as program

huggingface = pytest.importorskip(
    "huggingface_hub", reason="NOT TESTED: huggingface_hub is not installed"
)
ModelCard, constants = huggingface.ModelCard, huggingface.constants

PAGE = Path(__file__).parents[2] / "docs" / "sharing.md"
FIT = ("fit", "--model=DCGAN", "--data=Digits", "--trainer.max_steps=2", "--data.batch_size=4")
SMALL = ("--model.generator_width=8", "--model.critic_width=8", "--trainer.accelerator=cpu")
QUIET = ("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false")


@pytest.fixture
def run(tmp_path):
    """The folder of a run without logs."""
    trainer = train(tiny("dcgan", IMAGE), batches(IMAGE), max_steps=1)
    trainer.save_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    return tmp_path / "run"


def test_the_card_has_the_scores_of_the_checkpoint(capsys):
    main([*FIT, *SMALL, *QUIET, "--trainer.val_check_interval=1", "--evaluate.num_samples=20"])
    (folder,) = Path("runs").glob("*/version_0")
    program(["export", "--ckpt_path", str(folder), "--output=out", "--license=mit"])
    assert re.search(r"wrote out, with \d+ kB of weights", capsys.readouterr().out)
    card = ModelCard.load("out/README.md")
    assert card.data.model_name == "DCGAN on Digits"
    scores = {result.metric_type: result.metric_value for result in card.data.eval_results}
    rows = (folder / "metrics.csv").read_text().splitlines()
    names = rows[0].split(",")
    logged = [dict(zip(names, row.split(","), strict=True)) for row in rows[1:]]
    last = [row for row in logged if row["step"] == "2" and row["fd20_digits_cnn"]]
    assert scores == {n: float(last[-1][n]) for n in ("fd20_digits_cnn", "is20_digits_cnn")}
    # And those of a folder are kept.
    program(["export", "--ckpt_path=out", "--output=again"])
    for name in ("config.json", "model.safetensors", "README.md", "samples.png"):
        assert Path("again", name).read_bytes() == Path("out", name).read_bytes()


def test_a_run_without_logs_is_exported_too(run):
    program(["export", f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}", "--output=out"])
    model, loaded = load(run), GAN.from_pretrained("out")
    z = model.draw_latents(2)
    assert torch.equal(model.sample(z=z), loaded.sample(z=z))
    assert "There is no score" in Path("out/README.md").read_text()


def test_a_name_is_pushed(hub, capsys):
    program(["export", "--ckpt_path=digits/dcgan", "--push=digits", "--private", "--dtype=float16"])
    assert f"pushed to {hub.endpoint}/{USER}/digits/commit/" in capsys.readouterr().out
    files = hub.repositories[f"{USER}/digits"]
    config = json.loads(files["config.json"])
    assert config["training"]["scores"] == list_pretrained()["digits/dcgan"].scores
    assert "float16" in files["README.md"].decode()
    assert GAN.from_pretrained(f"{USER}/digits").updates == config["updates"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=out"], "export: the following arguments are required: --ckpt_path"),
        (["--ckpt_path=x"], "export: give --output FOLDER, --push USER/NAME, or both"),
        (["--ckpt_path=x", "--output=out"], "there is no file x, and there is no generator x"),
        (["--ckpt_path=RUN", "--output=out", "--private"], "--private is of a repository"),
        (["--ckpt_path=RUN", "--output=out", "--dtype=int8"], "invalid choice: 'int8'"),
        (["--ckpt_path=RUN", "--output=RUN/checkpoints/last.ckpt"], "cannot be written"),
        (["--ckpt_path=RUN", "--push=a b"], "a b is no folder here, and no name such as user"),
        (["--ckpt_path=RUN", "--push=a/b"], "a/b cannot be pushed to: http://127.0.0.1:9 cannot"),
        (["--ckpt_path=.", "--output=out"], "has no config.json, which save_pretrained and gan-"),
    ],
)
def test_a_mistake_is_answered_with_one_line(run, arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        program(["export", *(argument.replace("RUN", str(run)) for argument in arguments)])
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_weights_are_listed(capsys):
    main(["weights"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "DESCRIPTION", "SCORE", "SIZE"]
    assert [line.split()[0] for line in lines[1:]] == list(list_pretrained())
    assert re.search(
        r"DCGAN on Digits, 8 x 8: 12,000 updates .* fd1797_digits_cnn [\d.]+ ", lines[1]
    )


@pytest.mark.slow
def test_what_the_page_shows_runs(hub, monkeypatch, capsys):
    blocks = re.findall(r"```(\w*)\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    ran = 0
    for language, text in blocks:
        if language == "python":
            exec(text, {})
            continue
        for line in text.splitlines():
            command, *arguments = shlex.split(line)
            if command == "gan-lightning":
                main([*arguments, *("--trainer.accelerator=cpu", *QUIET) * (arguments[0] == "fit")])
                ran += 1
            else:
                assert line in ("pip install 'gan-lightning[hub]'", "hf auth login")
    assert ran == 6
    assert "ada/digits-dcgan" in hub.repositories
    assert Path("my-copy", "config.json").is_file()
    assert "digits/dcgan DCGAN on Digits" in re.sub(" +", " ", capsys.readouterr().out)
