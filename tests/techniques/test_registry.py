"""Techniques that other packages offer by the entry point group ``gan_lightning.techniques``."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from program import run_of

import gan_lightning
from gan_lightning import TECHNIQUES
from gan_lightning.cli import main
from gan_lightning.techniques.registry import GROUP, Techniques
from gan_lightning.utils.errors import BrokenPackageError

TECHNIQUE = '''
"""A technique."""
from gan_lightning import DCGAN

print("their code runs")


class {name}(DCGAN):
    """Smoothed GAN, of theirs.

    Somebody 2016, arXiv:1606.03498.
    """

    real_label: float = 0.9
'''
ONE_UPDATE = (
    *("--trainer.max_steps=1", "--data.batch_size=8", "--evaluate.extractor=none"),
    *("--model.generator_width=8", "--model.critic_width=8"),
)
#: Distributions, each with its entry points, its module and the code of that.
FOUND = ("their-gans", "smooth = their_gans.inner:SmoothGAN", TECHNIQUE.format(name="SmoothGAN"))
FAULTS = {
    "does not exist": ("", "ModuleNotFoundError"),
    "raises": ("1 / 0", "ZeroDivisionError"),
    "has a mistake": ("class", "SyntaxError"),
    "exits": ("raise SystemExit(0)", "SystemExit"),
    "has no such class": ("Other = 1", "has no attribute 'BrokenGAN'"),
    "is not a technique": ("class BrokenGAN: pass", "is not a subclass of GAN"),
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """``install(distribution, entry points, code)`` writes them where Python finds them.

    Tests that import their classes do so in other processes: subclasses of GAN stay.
    """
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def write(distribution, points, code, group=GROUP):
        metadata = tmp_path / f"{distribution}-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Name: {distribution}\nVersion: 1.2\n")
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{points}\n")
        if code:
            package = tmp_path / distribution.replace("-", "_")
            package.mkdir()
            (package / "__init__.py").write_text("print('their package is imported')")
            (package / "inner.py").write_text(code)
        importlib.invalidate_caches()
        vars(TECHNIQUES).pop("offers", None)

    yield write
    vars(TECHNIQUES).pop("offers", None)
    for name in [name for name in sys.modules if name.startswith("broken_gans")]:
        del sys.modules[name]


@pytest.fixture
def train(program, tmp_path):
    """``train(*arguments)`` fits for one update in another process; the checkpoint's path."""

    def fit(*arguments):
        code, said = program(*arguments, *ONE_UPDATE).ended()
        assert code == 0, said
        return run_of(tmp_path) / "checkpoints" / "last.ckpt"

    return fit


def new_process(*arguments):
    """What a new Python, which has not read entry points yet, answers."""
    return subprocess.run(
        [sys.executable, "-m", "gan_lightning", *arguments], capture_output=True, text=True
    )


def test_a_technique_of_another_package_is_listed_without_running_its_code(install):
    install(*FOUND)
    done = new_process("list", "techniques")
    *ours, theirs = done.stdout.splitlines()
    assert theirs.split() == (
        [
            "smooth",
            "SmoothGAN",
            "Smoothed",
            "GAN,",
            "of",
            "theirs",
            "(arXiv:1606.03498)",
            "their-gans",
            "1.2",
        ]
    )
    assert [line.split()[0] for line in ours] == ["KEY", *TECHNIQUES.own]
    assert done.stderr == ""


def test_it_comes_after_those_of_this_package_and_is_imported_when_it_is_asked_for(install):
    install(*FOUND)
    install("a-gans", "zebra = a_gans.inner:Zebra\nadam = a_gans.inner:Adam", "")
    techniques = Techniques(TECHNIQUES.own)
    assert list(techniques) == [*TECHNIQUES.own, "adam", "smooth", "zebra"]
    assert len(techniques) == len(list(techniques))
    assert "smooth" in techniques
    assert not {"a_gans", "their_gans"} & set(sys.modules)
    with pytest.raises(KeyError):
        techniques["rough"]
    assert "rough" not in techniques
    assert techniques.get("rough") is None


@pytest.mark.parametrize(
    "name",
    ["smooth", "SmoothGAN", pytest.param("their_gans.inner.SmoothGAN", marks=pytest.mark.slow)],
)
def test_it_is_trained_by_its_key_or_its_class(install, train, name):
    install(*FOUND)
    checkpoint = torch.load(train(f"--model={name}", "--data=Ring"), weights_only=True)
    assert checkpoint["technique"] == "their_gans.inner.SmoothGAN"
    assert checkpoint["hyper_parameters"]["real_label"] == 0.9
    assert checkpoint["global_step"] == 1


@pytest.mark.parametrize(
    "form",
    ["model: SmoothGAN", pytest.param("model: {class_path: SmoothGAN}", marks=pytest.mark.slow)],
)
def test_it_is_trained_by_a_config(install, train, tmp_path, form):
    install(*FOUND)
    (tmp_path / "config.yaml").write_text(f"{form}\ndata: Ring\n")
    checkpoint = train(f"--config={tmp_path / 'config.yaml'}")
    assert checkpoint.parents[2].name == "Ring-SmoothGAN"


def test_a_key_of_this_package_stands_for_its_class(train):
    assert train("--model", "wgan_gp", "--data=Ring").parents[2].name == "Ring-WGANGP"


def test_its_checkpoint_is_loaded_without_an_import(install, train, start):
    install(*FOUND)
    path = train("--model=smooth", "--data=Ring")
    text = """
import sys
from gan_lightning import GAN, TECHNIQUES, load
model = load(sys.argv[1])
assert type(model) is TECHNIQUES["smooth"] and isinstance(model, GAN)
print(model.real_label)
"""
    code, said = start("-c", text, path).ended()
    assert (code, said.splitlines()[-1]) == (0, "0.9")


def test_a_misspelt_class_gives_its_name(install, capsys):
    install(*FOUND)
    with pytest.raises(SystemExit):
        main(["fit", "--data=Ring", "--model=SmothGAN"])
    assert "did you mean SmoothGAN?" in capsys.readouterr().err
    assert "their_gans" not in sys.modules


@pytest.mark.parametrize("package", [gan_lightning, gan_lightning.techniques])
def test_the_names_that_are_imported_late_are_known_to_type_checkers(package):
    assert set(TECHNIQUES.own.values()) < set(package.__all__)
    tree = ast.parse(Path(package.__file__).read_text())
    (checking,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {name.name for statement in checking.body for name in statement.names}
    assert imported | {"TECHNIQUES"} == set(package.__all__)


# Faults of other packages


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_used_is_named_where_it_is_used(install, capsys, fault):
    code, reason = FAULTS[fault]
    install(*FOUND)
    install("broken-gans", "broken = broken_gans.inner:BrokenGAN", code)
    message = "the technique broken of broken-gans 1.2 cannot be used: "
    with pytest.raises(BrokenPackageError, match=message) as caught:
        TECHNIQUES["broken"]
    assert reason in str(caught.value)
    for name in ("broken", "BrokenGAN", "broken_gans.inner.BrokenGAN"):
        with pytest.raises(SystemExit) as exited:
            main(["fit", "--data=Ring", f"--model={name}"])
        assert exited.value.code == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
        assert reason in line


def test_what_cannot_be_used_does_not_disturb_the_others(install, start, train):
    install(*FOUND)
    install("broken-gans", "broken = broken_gans.inner:BrokenGAN", "1 / 0")
    text = """
from gan_lightning import GAN, TECHNIQUES
assert list(TECHNIQUES)[-2:] == ["broken", "smooth"]
assert list(TECHNIQUES.keys() - dict(TECHNIQUES.items())) == ["broken"]
assert TECHNIQUES["smooth"].__name__ in [each.__name__ for each in TECHNIQUES.values()]
"""
    code, said = start("-c", text).ended()
    assert code == 0, said
    assert "the technique broken of broken-gans 1.2 cannot be used: ZeroDivisionError" in said
    train("--model=smooth", "--data=Ring")


def test_what_cannot_be_used_is_listed(install):
    install("broken-gans", "broken = broken_gans.inner:BrokenGAN\nodd = 1 + 1", "class")
    install("malformed", "no equals sign", "")
    install(*FOUND)
    done = new_process("list", "techniques")
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert lines["broken"] == ["BrokenGAN", "broken-gans", "1.2"]
    assert " ".join(lines["odd"]) == "1 + 1 broken-gans 1.2"
    assert lines["smooth"][-2:] == ["their-gans", "1.2"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("gan-lightning: the entry points of malformed 1.2 cannot be read: ")


def test_a_key_that_is_taken_is_refused(install):
    install("their-gans", "dcgan = their_gans.inner:SmoothGAN", "1 / 0")
    install("a-gans", "smooth = a_gans.inner:SmoothGAN", "")
    install("b-gans", "smooth = b_gans.inner:SmoothGAN", "")
    with pytest.warns(UserWarning, match="is ignored") as caught:
        assert list(TECHNIQUES) == [*TECHNIQUES.own, "smooth"]
    assert {str(warning.message) for warning in caught} == {
        "the technique dcgan of their-gans 1.2 is ignored: this package has a technique of that "
        "key",
        "the technique smooth of b-gans 1.2 is ignored: a-gans 1.2 has a technique of that key",
    }
    assert TECHNIQUES["dcgan"] is gan_lightning.DCGAN
    assert new_process("list", "techniques").stderr.count("is ignored") == 2


def test_other_groups_do_not_count(install):
    install(*FOUND, group="gan_lightning.techniques_of_others")
    assert list(TECHNIQUES) == list(TECHNIQUES.own)
