"""The code in README and docs runs unchanged."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import batches, differences, fixed, state, train

from gan_lightning import GAN, Trainer
from gan_lightning.cli import main

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"<!-- file: (\S+) -->\n```python\n(.*?)```", re.DOTALL)
FILES = {
    name: text
    for page in (ROOT / "README.md", ROOT / "docs" / "custom.md")
    for name, text in MARK.findall(page.read_text())
}
#: Shapes without a built-in network: large, four channels, not square, a signal, a clip.
SHAPES = [
    pytest.param((3, 256, 256), marks=pytest.mark.slow),
    *[(3, 130, 130), (4, 16, 16), (6, 8, 8), (1, 32, 64), (2, 100), (5,), (2, 4, 8, 8)],
]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The working folder with all files, which can be imported from it."""
    for name, text in FILES.items():
        Path(name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def technique(written, monkeypatch):
    monkeypatch.delitem(sys.modules, "my_wgan_gp", raising=False)
    import my_wgan_gp

    return my_wgan_gp.MyWGANGP


def test_all_files_are_found():
    named = {"from_python.py", "my_module.py", "my_wgan_gp.py", "plain.py", "train.py"}
    assert set(FILES) == named


def test_a_complete_technique_takes_at_most_sixty_lines():
    assert len(FILES["my_wgan_gp.py"].splitlines()) <= 60
    assert re.findall(r"from gan_lightning(\S*) import", FILES["my_wgan_gp.py"]) == [""]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["from_python.py", "train.py"])
def test_a_script_runs(written, name):
    subprocess.run([sys.executable, name], check=True, cwd=written)
    (last,) = written.glob("runs/*/version_0/checkpoints/last.ckpt")
    assert torch.load(last, weights_only=True)["global_step"] in (100, 200)


#: What Lightning says of the machine when a trainer is made.
MACHINE = re.compile(r"(GPU|TPU) available: .*\n")
TABLE = """\
┏━━━━━━━━━━━┳━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┓
┃ network   ┃ class          ┃ parameters ┃
┡━━━━━━━━━━━╇━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━┩
│ generator │ DCGANGenerator │        N K │
│ critic    │ ScoreCritic    │        N K │
└───────────┴────────────────┴────────────┘
N of N parameters are trained
"""


@pytest.mark.usefixtures("forked")
def test_a_script_under_a_plain_trainer_prints_what_matters(written):
    text = FILES["plain.py"]
    for before, after in (
        ("max_steps=200", 'max_steps=4, accelerator="cpu", enable_progress_bar=False'),
        ("val_check_interval=100", "val_check_interval=2"),
        ("shape=(1, 8, 8)", "shape=(1, 8, 8), generator_width=32, critic_width=32"),
    ):
        assert before in text
        text = text.replace(before, after)
    (written / "plain.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "plain.py"], capture_output=True, text=True, cwd=written, check=False
    )
    assert MACHINE.sub("", done.stderr) == "`Trainer.fit` stopped: `max_steps=4` reached.\n"
    *table, score = re.sub(r"\d[\d.,]*(?= K| of| param)", "N", done.stdout).splitlines()
    assert [line.replace(" ", "") for line in table] == TABLE.replace(" ", "").splitlines()
    assert float(score) > 100
    assert done.returncode == 0


@pytest.mark.parametrize("model", ["my_module.SoftplusWGAN", "my_wgan_gp.MyWGANGP"])
def test_the_command_line_trains_a_custom_technique(written, model, fit):
    run = fit(f"--model={model}", "--data=Ring", "--data.num_samples=400", "--trainer.max_steps=2")
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["technique"] == model


def test_attributes_of_a_custom_technique_are_options(written, capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--model.help", "my_wgan_gp.MyWGANGP"])
    assert "--model.penalty_weight" in capsys.readouterr().out


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_custom_networks_take_samples_of_any_shape(technique, shape, tmp_path):
    model = technique(shape, n_critic=2)
    before = state(model)
    trainer = Trainer(
        max_steps=2,
        val_check_interval=2,
        default_root_dir=tmp_path,
        accelerator="cpu",
        enable_progress_bar=False,
    )
    trainer.fit(model, batches(shape, batch_size=8), batches(shape))
    changed = {name.split(".")[0] for name in differences(before, state(model))}
    assert changed == {"generator", "critic"}
    assert model.sample(3).shape == (3, *shape)
    grids = list(tmp_path.rglob("grids/step_000002.png"))
    assert len(grids) == (len(shape) in (1, 3))


def test_a_shape_without_networks_is_refused():
    class Plain(GAN):
        latent_dim: int = 2
        n_critic: int = 1
        critic_lr: float = 1e-4
        generator_lr: float = 1e-4

        def critic_loss(self, real, fake):
            return fake.mean() - real.mean()

        def generator_loss(self, fake):
            return -fake.mean()

    for shape in [(2, 100), (1, 32, 64), (5, 8, 8), (1, 257, 257)]:
        with pytest.raises(ValueError, match="unless build_networks is your own"):
            Plain(shape)


def test_a_custom_technique_resumes_exactly(technique, tmp_path):
    def fit(steps, ckpt_path=None):
        torch.manual_seed(0)
        model = technique((1, 8, 8), n_critic=2)
        return model, train(model, fixed(2), steps, ckpt_path=ckpt_path)

    whole, _ = fit(6)
    _, trainer = fit(4)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    resumed, _ = fit(6, tmp_path / "last.ckpt")
    assert not differences(state(whole), state(resumed))


@pytest.mark.slow
def test_objectives_of_a_custom_technique_compile_as_one_graph(technique):
    model = technique((1, 8, 8))
    x = torch.randn(4, 1, 8, 8)
    for objective in (model.critic_objective, model.generator_objective):
        torch.manual_seed(0)
        loss = objective(x, None, torch.zeros(4, 64))[0]
        torch.manual_seed(0)
        whole = torch.compile(objective, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(whole(x, None, torch.zeros(4, 64))[0], loss)
