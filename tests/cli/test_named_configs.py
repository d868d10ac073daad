"""Configs that are given by name: ``--config digits/wgan_gp``."""

from pathlib import Path

import pytest

import gan_lightning
from gan_lightning.cli import configs, main
from gan_lightning.cli.configs import description, find_config, named_configs
from gan_lightning.cli.saved_config import with_saved_config

FOLDER = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize(
    "name", ["digits/wgan_gp", "digits/wgan_gp.yaml", "digits/WGANGP", "Digits/wgan-gp"]
)
def test_a_config_is_found_in_any_spelling(name):
    assert find_config(name) == FOLDER / "digits" / "wgan_gp.yaml"


def test_every_config_has_a_name_of_its_own_and_a_description():
    assert set(named_configs().values()) == set(FOLDER.rglob("*.yaml"))
    for name, path in named_configs().items():
        assert find_config(name) == path
        assert description(path)


@pytest.mark.parametrize("name", ["wgan_gp", "digits", "digits/", "wgan_gp/digits", "", "../x"])
def test_other_names_are_not_found(name):
    assert find_config(name) is None


def test_an_installed_package_has_them_inside(tmp_path, monkeypatch):
    inside = tmp_path / "gan_lightning" / "shipped" / "configs" / "points" / "mine.yaml"
    inside.parent.mkdir(parents=True)
    inside.write_text("# Mine,\n# all of it.\n\nmodel: DCGAN\n")
    monkeypatch.setattr(gan_lightning, "__file__", str(tmp_path / "gan_lightning" / "__init__.py"))
    assert named_configs() == {"points/mine": inside}
    assert description(inside) == "Mine, all of it."
    assert configs.folder() == inside.parents[1]


@pytest.mark.parametrize(
    "given", ["--config=digits/dcgan", "--config digits/dcgan", "-c digits/dcgan"]
)
def test_a_name_is_replaced_by_its_path(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(FOLDER / "digits" / "dcgan.yaml")
    expected = f"--config={path}" if "=" in given else path
    assert with_saved_config(["fit", *given.split(" ")])[-1] == expected


def test_a_file_goes_before_a_config_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()
    Path("digits/dcgan").write_text("model: WGAN\n")
    assert with_saved_config(["fit", "--config", "digits/dcgan"]) == [
        *("fit", "--config", "digits/dcgan")
    ]


@pytest.mark.parametrize("text", ["model: DCGAN", "{model: DCGAN}", "null"])
def test_a_text_stays(text):
    assert with_saved_config(["fit", "--config", text]) == ["fit", "--config", text]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("digits/wgn_gp", "did you mean digits/wgan_gp?"),
        ("mine.yaml", "gan-lightning configs lists them"),
    ],
)
def test_a_wrong_name_is_answered_in_one_line(name, hint, capsys):
    with pytest.raises(SystemExit) as exited:
        main(["fit", "--config", name])
    assert exited.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"gan-lightning: --config: {name} is no file, and there is no config {name}: {hint}"
    )


def test_the_list_has_every_config(capsys):
    main(["configs"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "DESCRIPTION"]
    assert [line.split()[0] for line in lines[1:]] == list(named_configs())
    (line,) = (line for line in lines if line.startswith("digits/began "))
    assert "BEGAN on 8 x 8 digits: two and a half minutes on one CPU thread." in line
