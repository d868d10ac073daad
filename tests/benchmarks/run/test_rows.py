"""Rows with options, and of the user's own technique: trained by the command, and shown."""

import dataclasses
import itertools
import json
import os
import sys

import pytest
import torch
import yaml

from benchmarks import reproduce
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import read_record, record_path, write_record
from benchmarks.render import command as render
from benchmarks.run import command as run
from benchmarks.run import process as process_module
from benchmarks.run.attempt import Attempt
from benchmarks.run.plan import Options, Run
from benchmarks.variants import Variant

pytestmark = pytest.mark.usefixtures("forked")

WIDTHS = {"generator_width": 4, "critic_width": 4}
TINY = {
    "model": {"class_path": "DCGAN", "init_args": WIDTHS},
    "data": {"class_path": "Digits", "init_args": {"batch_size": 8}},
    "trainer": {"max_steps": 2, "val_check_interval": 1},
}
NUMBERS = itertools.count()
MODULE = """
from gan_lightning import GAN

class TheirGAN(GAN):
    latent_dim: int = 4
    n_critic: int = 3
    critic_lr: float = 1e-3
    generator_lr: float = 1e-3
    margin: float = 1.0

    def critic_loss(self, real, fake):
        return (self.margin - real).relu().mean() + (self.margin + fake).relu().mean()

    def generator_loss(self, fake):
        return -fake.mean()
"""


@pytest.fixture
def module():
    """The name of the user's module, which no other test imports: classes stay known."""
    return f"theirs{next(NUMBERS)}"


@pytest.fixture
def own(module):
    """The arguments that name the user's own row."""
    technique = ("--technique", f"{module}.TheirGAN")
    return (*technique, "--config", "own.yaml", "--name", "Their *GAN* | 1")


@pytest.fixture
def folder(tmp_path, monkeypatch, module):
    """The current folder: a module and a config of the user's own, beside a tiny protocol's."""
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "dcgan.yaml").write_text(yaml.safe_dump(TINY))
    variants = (
        Variant("dcgan", ("model.n_critic=2",), title="DCGAN, two critic updates"),
        Variant("dcgan", ("model.betas=[0.0,0.9]", "trainer.max_steps=1")),
    )
    protocol = dataclasses.replace(
        PROTOCOLS["digits"], configs=configs, variants=variants, seeds=(1,)
    )
    monkeypatch.setitem(PROTOCOLS, "digits", protocol)
    here = tmp_path / "here"
    here.mkdir()
    (here / f"{module}.py").write_text(MODULE)
    own = {"model": {"init_args": WIDTHS}} | {name: TINY[name] for name in ("data", "trainer")}
    (here / "own.yaml").write_text(yaml.safe_dump(own))
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def command(folder, *arguments):
    places = ("--results", str(folder / "results"), "--work", str(folder / "work"))
    run.main([*places, "--parallel", "1", *arguments])


def rendered(folder):
    """The cells of the lines of tables in Markdown, and the page."""
    render.main(["--results", str(folder / "results"), "--output", str(folder)])
    lines = (folder / "LEADERBOARD.md").read_text().splitlines()
    cells = [line[2:-2].split(" | ") for line in lines if line.startswith("|")]
    return cells, (folder / "leaderboard.html").read_text()


def test_a_technique_of_the_users_own_gets_records_and_a_place_in_the_table(
    folder, module, own, capfd
):
    command(folder, *own, "--options", "model.margin=2")
    path = record_path(folder / "results", "digits", "their-gan-1", 1)
    record = read_record(path)
    assert (record.status, record.message) == ("finished", "")
    assert (record.technique, record.title) == (f"{module}.TheirGAN", "Their *GAN* | 1")
    assert record.options == ["model.margin=2"]
    assert record.files.keys() == {f"{module}.py", "own.yaml"}
    assert record.config["model"]["class_path"] == f"{module}.TheirGAN"
    assert record.config["model"]["init_args"]["margin"] == 2
    assert record.config["model"]["init_args"]["generator_width"] == 4
    assert record.budget == {"generator_updates": 2, "critic_updates": 6, "images": 48}
    assert str(folder) not in path.read_text()
    capfd.readouterr()

    lines, page = rendered(folder)
    names = [cells[1].removesuffix(" (1 of 1 collapsed)") for cells in lines if len(cells) > 9]
    assert sorted(names[2:]) == [
        "DCGAN",
        "DCGAN, model.betas=\\[0.0,0.9\\], trainer.max_steps=1",
        "DCGAN, two critic updates",
        "Their \\*GAN\\* &#124; 1",
    ]
    assert ["![Their \\*GAN\\* &#124; 1](results/digits/their-gan-1/seed1.png)"] in lines
    # In the table, below it as collapsed, in the legend, below the samples, and among the sources.
    assert page.count(">Their *GAN* | 1") == 5
    # Two charts.
    assert page.count('data-name="Their *GAN* | 1"') == 2
    assert "Their *GAN* | 1" in capfd.readouterr().out

    # The same row again is not repeated, and its name is not that of another.
    before = path.stat().st_mtime_ns
    command(folder, *own, "--options", "model.margin=2")
    assert path.stat().st_mtime_ns == before
    assert "1 of 1 runs have a record" in capfd.readouterr().out
    for others in ((), ("--options", "model.margin=3")):
        with pytest.raises(SystemExit) as stop:
            command(folder, *own, *others)
        assert stop.value.code == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert f"is that of {module}.TheirGAN model.margin=2: choose another --name" in line


def test_a_mistake_is_answered_in_one_line(folder, module, capsys):
    for line, message in {
        "--technique nothing.A --config own.yaml": "there is no module nothing in ",
        f"--technique {module}.TheirGAN": f"digits has no config of {module}.TheirGAN",
        "--name x": "--config, --name and --options need --technique",
        "--technique dcgan --techniques dcgan": "exclude each other",
        "--techniques dcgan x": "digits: there is no technique x. Choose from dcgan, ",
    }.items():
        with pytest.raises(SystemExit) as stop:
            command(folder, *line.split())
        assert stop.value.code == 2
        (answer,) = capsys.readouterr().err.splitlines()
        assert answer.startswith("benchmarks.run: ")
        assert message in answer
    assert not (folder / "work").exists()


@pytest.mark.slow
def test_variants_are_trained_with_their_options(folder):
    command(folder)
    techniques, two, betas = (
        read_record(record_path(folder / "results", "digits", row.key, 1))
        for row in PROTOCOLS["digits"].rows
    )
    assert {record.status for record in (techniques, two, betas)} == {"finished"}
    assert [record.technique for record in (techniques, two, betas)] == ["dcgan"] * 3
    assert (techniques.folder, techniques.options) == ("dcgan", [])
    assert two.folder == "dcgan-two-critic-updates"
    assert two.budget == {"generator_updates": 2, "critic_updates": 4, "images": 32}
    assert betas.budget == {"generator_updates": 1, "critic_updates": 1, "images": 8}
    assert betas.config["model"]["init_args"]["betas"] == [0.0, 0.9]
    assert len({json.dumps(record.last) for record in (techniques, two, betas)}) == 3

    # The options of a variant have changed since: its record is stale, and its run is repeated.
    protocol = PROTOCOLS["digits"]
    changed = dataclasses.replace(protocol.variants[0], options=("model.n_critic=3",))
    protocol = dataclasses.replace(protocol, variants=(changed,))
    PROTOCOLS["digits"] = protocol
    command(folder, "--techniques", changed.key)
    again = read_record(record_path(folder / "results", "digits", changed.key, 1))
    assert again.budget["critic_updates"] == 6


@pytest.fixture
def attempt(folder, own, monkeypatch):
    """``attempt()`` runs the user's row as a process that trains nothing.

    It returns whether there was a checkpoint to resume from, which there is after the first time.
    """
    options = Options(folder / "results", folder / "work")
    script, seen = folder / "process.py", folder / "seen.txt"
    monkeypatch.setattr(process_module, "CHILD", script)

    def execute(*given):
        row = run._rows(
            PROTOCOLS["digits"],
            run._parser("benchmarks.run").parse_args(
                [*own, *given, "--results", str(folder / "other")]
            ),
        )[0]
        attempt = Attempt(Run(PROTOCOLS["digits"], row, 1), options)
        path = attempt.folder / "checkpoints" / "step=1.ckpt"
        script.write_text(
            f"import os; open({str(seen)!r}, 'w').write(str(os.path.exists({str(path)!r})))"
        )
        attempt.execute(lambda update, scores: None)
        path.parent.mkdir(exist_ok=True)
        torch.save({"x": torch.zeros(9)}, path)
        return seen.read_text() == "True"

    return execute


@pytest.mark.slow
def test_a_run_whose_module_config_or_options_have_changed_starts_over(attempt, folder, module):
    assert not attempt()
    assert attempt()
    for name in (f"{module}.py", "own.yaml"):
        with (folder / "here" / name).open("a") as file:
            file.write("# changed\n")
        assert not attempt()
        assert attempt()
    assert not attempt("--options", "model.margin=3")
    assert attempt("--options", "model.margin=3")


def test_a_process_finds_the_users_modules_and_those_of_the_python_path(folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["relative", str(folder)]))
    seen = process_module.environment(1, modules=folder / "here")["PYTHONPATH"]
    assert seen.split(os.pathsep) == [
        *(str(folder / "here"), str(folder / "here" / "relative")),
        str(folder),
    ]
    assert process_module.environment(1)["PYTHONPATH"] == os.environ["PYTHONPATH"]


def test_a_record_is_not_reproduced_with_other_modules(folder, module, record, monkeypatch):
    row = Variant(f"{module}.TheirGAN", modules=folder / "here")
    own = {"technique": row.technique, "key": row.key, "title": row.title, "files": row.files()}
    path = write_record(dataclasses.replace(record, **own), folder)
    asked = []
    monkeypatch.setattr(reproduce, "_checkout", lambda record, _: asked.append(record) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reproduce.main([str(path)])
    (folder / "here" / f"{module}.py").write_text(MODULE.replace("3", "2"))
    with pytest.raises(SystemExit, match=f"{module}.py is not as the record was made with"):
        reproduce.main([str(path)])
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if "here" not in each])
    del sys.modules[module]
    with pytest.raises(SystemExit, match=f"there is no module {module} in"):
        reproduce.main([str(path)])
    assert len(asked) == 1


@pytest.mark.slow
def test_a_run_of_the_users_own_technique_is_repeated_with_the_same_bits(
    folder, own, monkeypatch, capfd
):
    command(folder, *own)
    path = record_path(folder / "results", "digits", "their-gan-1", 1)
    write_record(dataclasses.replace(read_record(path), commit="0" * 40), folder / "results")
    monkeypatch.setattr(reproduce, "commit", lambda: "0" * 40)
    reproduce.main([str(path), "--work", str(folder / "again")])
    assert "identical to the last bit" in capfd.readouterr().out
