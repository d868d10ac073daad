"""Models in the format of the hub: what is saved is what is loaded, and the hub has it."""

import json
import re
import struct
from pathlib import Path

import pytest
import torch
import yaml
from helpers import CLASSES, IMAGE, VECTOR, batches, differences, state, tiny, train
from hub_server import COMMIT, USER
from PIL import Image
from safetensors.torch import load_file, save_file

from gan_lightning import DCGAN, GAN, TECHNIQUES, WGAN, BigGAN, load
from gan_lightning import sharing as sharing_module
from gan_lightning.loading import load_networks
from gan_lightning.model_card import Facts
from gan_lightning.utils.errors import (
    ArgumentError,
    HubError,
    MissingPackageError,
    UserError,
    WrongFileError,
)

huggingface = pytest.importorskip(
    "huggingface_hub", reason="NOT TESTED: huggingface_hub is not installed"
)
ModelCard, constants = huggingface.ModelCard, huggingface.constants

FILES = {"config.json", "model.safetensors", "README.md", "samples.png"}


def shared(model, **options):
    model.save_pretrained("shared", **options)
    return GAN.from_pretrained("shared")


def edited(**changes):
    """The saved config with other values, or without those that are None."""
    path = Path("shared", "config.json")
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: x for name, x in content.items() if x is not None}))


@pytest.mark.parametrize("shape", [IMAGE, VECTOR], ids=str)
@pytest.mark.parametrize("name", TECHNIQUES.own)
def test_a_loaded_model_draws_the_same_samples(name, shape):
    num_classes = 0 if name == "began" else CLASSES
    model = tiny(name, shape, num_classes, ema_decay=0.5)
    train(model, batches(shape), max_steps=2)
    loaded = shared(model.eval())
    assert type(loaded) is type(model)
    assert not loaded.training
    z, y = model.draw_inputs(4)
    assert torch.equal(loaded.sample(z=z, y=y), model.sample(z=z, y=y))
    assert (loaded.updates, loaded.images) == (model.updates, model.images) != (0, 0)
    assert dict(loaded.hparams) == {n: v for n, v in model.hparams.items() if n[0] != "_"}
    files = {path.name for path in Path("shared").iterdir()}
    assert files == (FILES if shape == IMAGE else FILES - {"samples.png"})


def test_the_file_has_the_generator_that_is_sampled_and_no_other():
    model = tiny("dcgan", IMAGE, ema_decay=0.9)
    train(model, batches(IMAGE), max_steps=2)
    assert differences(state(model.generator), state(model.generator_ema))
    model.save_pretrained("shared")
    stored = load_file("shared/model.safetensors")
    assert {name.partition(".")[0] for name in stored} == {"generator"}
    for name, tensor in model.generator_ema.state_dict().items():
        assert torch.equal(stored[f"generator.{name}"], tensor)
    loaded = load("shared")
    assert not differences(state(loaded.generator), state(loaded.generator_ema))


def test_styles_and_statistics_come_along():
    model = tiny("stylegan2", IMAGE)
    model.generator.w_avg.normal_()
    z = model.draw_latents(4)
    assert torch.equal(shared(model).sample(z=z, truncation=0.5), model.sample(z=z, truncation=0.5))
    model = tiny("biggan", IMAGE)
    before = model.sample(z=(z := model.draw_latents(4)))
    model.standing_statistics(passes=2, batch_size=8)
    assert not torch.equal(before, model.sample(z=z))
    assert torch.equal(shared(model).sample(z=z), model.sample(z=z))


def test_growing_networks_keep_their_level():
    model = tiny("progressive", IMAGE, phase_images=1000)
    model.restore_counts(10, 500, 0)
    z = model.draw_latents(4)
    loaded = shared(model)
    assert (loaded.level, loaded.images) == (0, 500)
    assert torch.equal(loaded.sample(z=z), model.sample(z=z))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2**-10), (torch.bfloat16, 2**-7)])
def test_half_precision_takes_half_the_space(dtype, tolerance):
    model = tiny("dcgan", IMAGE)
    model.save_pretrained("whole")
    loaded = shared(model, dtype=dtype)
    sizes = [Path(name, "model.safetensors").stat().st_size for name in ("shared", "whole")]
    assert sizes[0] < 0.7 * sizes[1]
    for name, tensor in model.generator.state_dict().items():
        given = loaded.generator.state_dict()[name]
        assert given.dtype == tensor.dtype
        torch.testing.assert_close(given, tensor, rtol=tolerance, atol=1e-6)


def test_other_types_and_weights_beyond_a_type_are_refused():
    model = tiny("dcgan", IMAGE)
    with pytest.raises(ArgumentError, match="dtype must be one of torch"):
        model.save_pretrained("shared", dtype=torch.int8)
    next(model.generator.parameters()).data.fill_(1e6)
    with pytest.raises(ArgumentError, match=r"too large for torch\.float16"):
        model.save_pretrained("shared", dtype=torch.float16)
    assert not Path("shared").exists()


def test_with_the_critic_another_run_can_start_from_it():
    model = tiny("began", IMAGE)
    train(model, batches(IMAGE), max_steps=2)
    loaded = shared(model, critic=True)
    assert not differences(state(model), state(loaded))
    other = tiny("began", IMAGE)
    load_networks(other, Path("shared"))
    assert not differences(state(model.critic), state(other.critic))
    trainer = train(loaded, batches(IMAGE), max_steps=1)
    assert trainer.global_step == 1
    model.save_pretrained("shared")
    with pytest.raises(WrongFileError, match="shared has no critic: export it with --critic"):
        load_networks(other, Path("shared"))


def test_the_command_line_starts_from_a_folder(fit):
    model = DCGAN((2,), latent_dim=100, generator_width=8, critic_width=8)
    model.save_pretrained("shared", critic=True)
    run = fit(
        *("--model=DCGAN", "--data=Ring", "--data.num_samples=400", "--trainer.max_steps=1"),
        *("--model.generator_width=8", "--model.critic_width=8", "--model.generator_lr=0"),
        "--init_from=shared",
    )
    assert not differences(state(model.generator), state(load(run).generator))


class Custom(DCGAN):
    """Another paper. arXiv:1234.56789."""

    weight: float = 1.5


def test_a_custom_technique_loads_if_it_is_imported():
    loaded = shared(Custom(IMAGE, generator_width=8, critic_width=8, weight=2.5))
    assert (type(loaded), loaded.weight) == (Custom, 2.5)
    assert json.loads(Path("shared/config.json").read_text())["technique"].endswith("Custom")
    edited(technique="os.path.Custom")
    with pytest.raises(WrongFileError, match=r"shared holds os\.path\.Custom, which is not impor"):
        load("shared")


def test_a_class_that_the_config_alone_names_is_not_imported(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    Path("evil_module.py").write_text("raise SystemExit('it ran')")
    tiny("dcgan", IMAGE).save_pretrained("shared")
    edited(technique="evil_module.Evil")
    with pytest.raises(WrongFileError, match=r"shared holds evil_module\.Evil, which is not impor"):
        load("shared")


def test_a_class_takes_its_own_models_alone():
    tiny("wgan", IMAGE).save_pretrained("shared")
    assert type(WGAN.from_pretrained("shared")) is WGAN
    with pytest.raises(WrongFileError, match="shared is a WGAN, not a BigGAN"):
        BigGAN.from_pretrained("shared")


def test_saving_changes_no_random_number():
    model = tiny("dcgan", IMAGE)
    before = torch.get_rng_state()
    model.save_pretrained("shared")
    assert torch.equal(before, torch.get_rng_state())
    first = Path("shared/samples.png").read_bytes()
    model.save_pretrained("shared")
    assert Path("shared/samples.png").read_bytes() == first


def test_the_picture_of_a_few_classes_has_a_column_for_each():
    tiny("dcgan", IMAGE, 5).save_pretrained("shared")
    with Image.open("shared/samples.png") as image:
        assert image.size == (5 * 34 + 2, 8 * 34 + 2)


# The card.


def test_the_hub_reads_the_card():
    model = tiny("wgan_gp", IMAGE, CLASSES)
    facts = Facts("Digits", {"fd1797_digits_cnn": 5.25}, "By hand.", "mit", "CC BY 4.0")
    model.save_pretrained("shared", facts=facts, name="ada/digits")
    card = ModelCard.load("shared/README.md")
    assert card.data.library_name == "gan_lightning"
    assert card.data.license == "mit"
    assert card.data.pipeline_tag == "unconditional-image-generation"
    assert {"gan", "wgangp"} <= set(card.data.tags)
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("fd1797_digits_cnn", 5.25)
    assert (result.dataset_name, card.data.model_name) == ("Digits", "digits")
    for text in ("arxiv.org/abs/1704.00028", "| `fd1797_digits_cnn` | 5.25 |", "By hand.", "| --"):
        assert text in card.text
    assert "![Samples](samples.png)" in card.text
    assert 'GAN.from_pretrained("ada/digits")' in card.text


def test_the_code_of_a_card_runs():
    tiny("dcgan", IMAGE, CLASSES).save_pretrained("path/to/this/folder")
    text = Path("path/to/this/folder/README.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    found = {}
    exec(code, found)
    assert found["samples"].shape == (64, *IMAGE)


def test_the_text_of_a_card_stays_text():
    evil = "<script>x</script>\n---\nlicense: other\n# `[a](b)`"
    model = tiny("dcgan", VECTOR)
    model.save_pretrained("shared", facts=Facts(evil, {}, evil, evil, evil), name=evil)
    text = Path("shared/README.md").read_text()
    header, body = text[4:].split("\n---\n", 1)
    assert yaml.safe_load(header)["license"] == evil
    body = re.sub(r"^```.*?^```", "", body, flags=re.DOTALL | re.MULTILINE)
    assert "<" not in body
    assert "](b)" not in body
    assert len([line for line in body.splitlines() if line.startswith("# ")]) == 1


def test_facts_are_kept_in_the_config():
    facts = Facts("Ring", {"swd10k_train": 0.5}, license="mit")
    tiny("dcgan").save_pretrained("shared", facts=facts)
    assert sharing_module.read_config(Path("shared")).facts == facts


# What others write.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"library_name": "timm"}, "is not of gan_lightning"),
        ({"format": 99, "version": "9.0"}, "was written by gan_lightning 9.0, which this version"),
        ({"format": True}, "cannot read: upgrade it"),
        ({"technique": None}, "is not a config of gan_lightning"),
        ({"technique": ["dcgan"]}, "is not a config of gan_lightning"),
        ({"updates": -1}, "is not a config of gan_lightning"),
        ({"level": True}, "is not a config of gan_lightning"),
        ({"critic": "yes"}, "is not a config of gan_lightning"),
        ({"hyperparameters": []}, "is not a config of gan_lightning"),
        ({"hyperparameters": {"shape": [1, 8, 8], "evil": 1}}, "does not fit this DCGAN: it has n"),
        ({"hyperparameters": {"shape": "huge"}}, "does not fit this DCGAN"),
        ({"hyperparameters": {"shape": [1, 16, 16]}}, "is of other networks than the model's"),
        ({"training": {"scores": {"fid": "<b>"}}}, "says about the training what is not underst"),
        ({"training": {"data": 3}}, "says about the training what is not understood"),
        ({"training": 3}, "says about the training what is not understood"),
        ({"critic": True}, "is of other networks than the model's"),
    ],
)
def test_another_config_is_refused_in_one_line(changes, message):
    tiny("dcgan", IMAGE).save_pretrained("shared")
    edited(**changes)
    with pytest.raises(WrongFileError, match=message) as raised:
        load("shared")
    assert "shared" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "[", "[]", "\xff", "[" * 100_000, '{"a": 1}'])
def test_what_is_no_config_is_refused(text):
    tiny("dcgan", IMAGE).save_pretrained("shared")
    Path("shared/config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(WrongFileError, match=r"shared.config\.json is not"):
        load("shared")


def test_a_config_of_any_size_is_not_read():
    Path("shared").mkdir()
    Path("shared/config.json").write_bytes(b" " * (sharing_module.MAX_CONFIG + 1))
    with pytest.raises(WrongFileError, match="is too large for a config"):
        load("shared")


def _truncated(path):
    path.write_bytes(path.read_bytes()[:-8])


def _with_a_long_header(path):
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")


def _pickled(path):
    torch.save({"generator.x": torch.ones(1)}, path)


def _of_whole_numbers(path):
    save_file({name: x.int() for name, x in load_file(path).items()}, path)


def _with_another(path):
    save_file({**load_file(path), "generator.evil": torch.ones(1)}, path)


def _of_critic(path):
    save_file({**load_file(path), "critic.evil": torch.ones(1)}, path)


@pytest.mark.parametrize(
    "damage",
    [_truncated, _with_a_long_header, _pickled, _of_whole_numbers, _with_another, _of_critic],
)
def test_other_weights_are_refused(damage):
    tiny("dcgan", IMAGE).save_pretrained("shared")
    damage(Path("shared/model.safetensors"))
    with pytest.raises(WrongFileError, match=r"shared.model\.safetensors"):
        load("shared")


def test_missing_files_are_told():
    Path("empty").mkdir()
    with pytest.raises(WrongFileError, match=r"empty has no config\.json, which save_pretrained"):
        GAN.from_pretrained("empty")
    tiny("dcgan", IMAGE).save_pretrained("shared")
    Path("shared/model.safetensors").unlink()
    with pytest.raises(WrongFileError, match=r"shared.model\.safetensors is not a whole file"):
        load("shared")


# The hub.


def test_what_is_pushed_is_fetched(hub):
    model = tiny("dcgan", IMAGE)
    url = model.push_to_hub("digits", facts=Facts("Digits", license="mit"))
    assert url == f"{hub.endpoint}/{USER}/digits/commit/{COMMIT}"
    (files,) = hub.repositories.values()
    assert set(files) == FILES
    assert "Bearer secret" in hub.tokens
    files["evil.pkl"] = b"!"
    loaded = DCGAN.from_pretrained(f"{USER}/digits")
    z = model.draw_latents(3)
    assert torch.equal(loaded.sample(z=z), model.sample(z=z))
    fetched = [line.rpartition("/")[2] for line in hub.asked if line.startswith("GET /ada/")]
    assert sorted(fetched) == ["config.json", "model.safetensors"]
    # Later, the copy on this machine will do.
    asked = len(hub.asked)
    again = GAN.from_pretrained(f"{USER}/digits", local_files_only=True)
    assert torch.equal(again.sample(z=z), model.sample(z=z))
    assert len(hub.asked) == asked


def test_a_fetched_model_is_loaded_where_the_hub_cannot_be_reached(hub, monkeypatch):
    model = tiny("dcgan", IMAGE)
    model.push_to_hub("digits")
    GAN.from_pretrained(f"{USER}/digits")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    z = model.draw_latents(3)
    loaded = GAN.from_pretrained(f"{USER}/digits")
    assert torch.equal(loaded.sample(z=z), model.sample(z=z))
    with pytest.raises(HubError, match=r"ada/other cannot be fetched: http://127\.0\.0\.1:9 cann"):
        GAN.from_pretrained(f"{USER}/other")
    with pytest.raises(
        HubError, match=r"x cannot be pushed to: http://127\.0\.0\.1:9 cannot be re"
    ):
        model.push_to_hub("x")


def test_a_local_folder_needs_no_hub(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    model = tiny("dcgan", IMAGE)
    z = model.draw_latents(3)
    assert torch.equal(shared(model).sample(z=z), model.sample(z=z))


@pytest.mark.parametrize(
    ("failing", "message"),
    [
        ((401, None), "does not know who asks, or has no such repository: log in with"),
        ((403, None), "does not allow it"),
        ((403, "GatedRepo"), "does not allow it"),
        ((404, "RepoNotFound"), "has no such repository, or it is private"),
        ((404, "RevisionNotFound"), "the repository has no such revision"),
        ((500, None), "answered 500"),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_line(hub, failing, message):
    hub.failing = failing
    with pytest.raises(HubError, match=message) as raised:
        GAN.from_pretrained("ada/digits")
    assert str(raised.value).startswith("ada/digits cannot be fetched: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["a/b/c", "a b", "../x", "nothing//"])
def test_a_name_that_is_none_is_refused(name, hub):
    for call in (GAN.from_pretrained, tiny("dcgan", VECTOR).push_to_hub):
        with pytest.raises(ArgumentError, match="is no folder here, and no name such as user/name"):
            call(name)
    assert hub.repositories == {}


def test_a_repository_of_something_else_is_refused(hub):
    hub.repositories["ada/text"] = {"pytorch_model.bin": b"x", "README.md": b"y"}
    with pytest.raises(UserError, match=r"has no config\.json, which save_pretrained"):
        GAN.from_pretrained("ada/text")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'gan-lightning\[hub\]'"):
        GAN.from_pretrained("ada/digits")
