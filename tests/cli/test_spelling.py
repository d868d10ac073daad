"""Techniques are named in any spelling."""

import pytest
from jsonargparse import Namespace

from benchmarks.protocols import PROTOCOLS
from benchmarks.run.plan import custom_row, rows_of_protocol
from gan_lightning import TECHNIQUES
from gan_lightning.cli.chosen import with_chosen_techniques
from gan_lightning.cli.yaml_reader import load_yaml
from gan_lightning.utils.errors import ArgumentError

WGAN_GP = "gan_lightning.techniques.wgan_gp.WGANGP"
SPELLINGS = ["wgan_gp", "wgangp", "wgan-gp", "WGAN-GP", "WGan gp"]


@pytest.mark.parametrize("name", [*SPELLINGS, "WGANGP"])
def test_a_key_is_found(name):
    assert TECHNIQUES.find(name) == "wgan_gp"


@pytest.mark.parametrize("name", ["", "gan", "wgan_gpp", "wgan/gp", "a.b"])
def test_other_names_are_not_found(name):
    assert TECHNIQUES.find(name) is None


def test_every_key_and_class_is_found():
    for key, name in TECHNIQUES.own.items():
        assert TECHNIQUES.find(key) == TECHNIQUES.find(name) == TECHNIQUES.find(name.lower()) == key


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_command_line_takes_it(name):
    assert with_chosen_techniques(["fit", f"--model={name}"]) == ["fit", f"--model={WGAN_GP}"]
    assert with_chosen_techniques(["fit", "--model", name]) == ["fit", "--model", WGAN_GP]


def test_a_class_stays_as_it_is():
    for name in ("WGANGP", WGAN_GP, "my_module.MyGAN", "Unknown"):
        assert with_chosen_techniques(["fit", "--model", name]) == ["fit", "--model", name]


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_config_takes_it(name, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"model: {{class_path: {name}, init_args: {{critic_lr: 1e-4}}}}\n")
    for given in (str(path), path.read_text()):
        *_, text = with_chosen_techniques(["fit", "--config", given])
        model = Namespace(load_yaml(text)["model"])
        assert model.class_path == WGAN_GP
        assert model.init_args == {"critic_lr": 1e-4}
    assert with_chosen_techniques(["fit", "--config", "model: WGANGP"])[-1] == "model: WGANGP"


def test_the_benchmark_takes_it(tmp_path):
    digits = PROTOCOLS["digits"]
    names = ["WGAN-GP", "wgangp", "DCGAN with TTUR"]
    assert [row.key for row in rows_of_protocol(digits, names)] == ["wgan_gp", "dcgan-with-ttur"]
    options = ["model.n_critic=3"]
    row = custom_row(digits, tmp_path, "WGAN-GP", options=options, modules=tmp_path)
    assert row.technique == "wgan_gp"
    with pytest.raises(ArgumentError, match="there is no technique wgn: did you mean wgan"):
        rows_of_protocol(digits, ["wgn"])
