"""Import paths of version 0.1 still work, with a warning."""

import importlib
import re
import sys
from pathlib import Path

import pytest

import gan_lightning
from gan_lightning.moved import MOVED

ROOT = Path(__file__).parents[1]
FOLDERS = ("gan_lightning", "benchmarks", "configs", "docs")


@pytest.mark.parametrize("old", MOVED)
def test_an_old_path_gives_the_same_objects_and_warns(old, monkeypatch):
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{old} has moved to {MOVED[old]}"):
        module = importlib.import_module(old)
    new = importlib.import_module(MOVED[old])
    public = {name for name in vars(new) if not name.startswith("_")}
    assert public
    assert all(getattr(module, name) is getattr(new, name) for name in public)


def test_the_old_path_of_the_training_loop_still_works():
    from gan_lightning.gan import GAN, Regularizer

    sys.modules.pop("gan_lightning.module", None)
    with pytest.warns(DeprecationWarning, match=r"gan_lightning.module has moved"):
        old = importlib.import_module("gan_lightning.module")
    assert (old.GAN, old.Regularizer, old.load) == (GAN, Regularizer, gan_lightning.load)


def test_the_repository_uses_no_old_path():
    used = re.compile(rf"\b(?:{'|'.join(map(re.escape, MOVED))})\b(?!\.py)")
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")]
    texts = {path: path.read_text() for path in files if path.suffix in (".py", ".md", ".yaml")}
    assert len(texts) > 100
    users = [path.name for path, text in texts.items() if used.search(text)]
    assert users == ["moved.py"]


def test_all_names_of_the_package_exist():
    assert all(hasattr(gan_lightning, name) for name in gan_lightning.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gan_lightning.nothing  # noqa: B018


def test_an_old_module_is_an_attribute_of_the_package(monkeypatch):
    # The attribute first: to ask for it imports the module.
    monkeypatch.delattr(gan_lightning, "errors", raising=False)
    monkeypatch.delitem(sys.modules, "gan_lightning.errors", raising=False)
    with pytest.warns(DeprecationWarning, match=r"gan_lightning.errors has moved"):
        assert gan_lightning.errors.UserError.exit_code == 1
