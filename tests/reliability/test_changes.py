"""A fit that resumes with other hyperparameters uses them, or refuses them by name."""

import re
from dataclasses import fields
from functools import partial
from typing import NamedTuple

import pytest
import pytorch_lightning as pl
import torch
import yaml
from helpers import IMAGE, SILENT, batches, differences, fixed, state, tiny, train
from program import content
from torch.optim.lr_scheduler import StepLR

from gan_lightning import DCGAN, Trainer, load
from gan_lightning.data import HuggingFaceImages, Ring
from gan_lightning.gan import GAN
from gan_lightning.loading import load_networks
from gan_lightning.training.changes import (
    FIXED,
    IN_NO_OPTIMIZER,
    WITHOUT_EFFECT,
    changes,
    data_options,
)
from gan_lightning.utils.errors import WrongFileError

NARROW = ("--model.generator_width=8", "--model.critic_width=8")
FIT = ("--model=DCGAN", "--data=Digits", "--data.batch_size=16", *NARROW)
RATE = 2e-4


@pytest.fixture(scope="module")
def trained_once(fit_once):
    return fit_once(*FIT, "--trainer.max_steps=4")


@pytest.fixture
def trained(trained_once, copied):
    """The folder of a run of 4 updates."""
    return copied(trained_once)


@pytest.fixture
def resume(fit, trained):
    """``resume(*arguments)``: the folder in which the run continues to update 6."""
    last = trained / "checkpoints" / "last.ckpt"
    return lambda *given: fit(*FIT, "--trainer.max_steps=6", f"--ckpt_path={last}", *given)


def groups(run):
    """The options of the critic's optimiser and of the generator's."""
    return [state["param_groups"][0] for state in content(run)["optimizer_states"]]


def files(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


def arguments(run):
    """The model's arguments in the config beside a run's checkpoints."""
    return yaml.safe_load((run / "config.yaml").read_text())["model"]["init_args"]


class Change(NamedTuple):
    name: str
    value: object
    said: str
    # The options of both optimisers after update 6.
    held: tuple


@pytest.mark.parametrize(
    "change",
    [
        Change("critic_lr", 1e-6, "critic_lr 1e-06, not 0.0002", ({"lr": 1e-6}, {"lr": RATE})),
        Change(
            "generator_lr", 1e-3, "generator_lr 0.001, not 0.0002", ({"lr": RATE}, {"lr": 1e-3})
        ),
        Change(
            "betas", [0.1, 0.2], "betas (0.1, 0.2), not (0.5, 0.999)", ({"betas": (0.1, 0.2)},) * 2
        ),
        Change(
            "decay_steps", 8, "decay_steps 8, not 0", ({"lr": RATE / 4, "initial_lr": RATE},) * 2
        ),
        Change("real_label", 0.9, "real_label 0.9, not 1.0", ({"lr": RATE},) * 2),
    ],
    ids=lambda change: change.name,
)
def test_a_changed_hyperparameter_holds_and_is_written_in_a_new_folder(
    resume, trained, caplog, change
):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    run = resume(f"--model.{change.name}={change.value}")
    assert f"the fit resumes with {change.said}" in caplog.messages
    assert run != trained
    assert {path: path.read_bytes() for path in before} == before
    assert files(trained) == set(before)
    for group, held in zip(groups(run), change.held, strict=True):
        for name, value in held.items():
            assert group[name] == pytest.approx(value), name
    assert arguments(run)[change.name] == change.value
    assert arguments(trained)[change.name] != change.value
    assert content(run)["global_step"] == 6
    logged = yaml.full_load((run / "hparams.yaml").read_text())
    for written in (content(run)["hyper_parameters"], logged):
        value = written[change.name]
        assert (list(value) if isinstance(value, tuple) else value) == change.value


def test_an_unchanged_fit_continues_in_its_folder_and_says_nothing(resume, caplog):
    # The same, as numbers of another type and as a default that is given.
    assert resume("--model.betas=[0.5,0.999]", "--model.decay_steps=0") is None
    assert not any("the fit resumes with" in message for message in caplog.messages)


def test_options_without_effect_on_results_are_no_changes(
    resume, fit, trained, caplog, monkeypatch
):
    monkeypatch.setattr("gan_lightning.training.module.compiled", lambda function: function)
    given = {
        "model": {"compile": True, "channels_last": True},
        "data": {"placement": "host", "predict_samples": 3},
    }
    options = [f"--{of}.{name}={x}" for of in given for name, x in given[of].items()]
    assert resume(*options) is None
    assert content(trained)["global_step"] == 6
    assert not any("the fit resumes with" in message for message in caplog.messages)
    # What the folder's files say is what holds.
    config = yaml.safe_load((trained / "config.yaml").read_text())
    for of, expected in given.items():
        assert config[of]["init_args"].items() >= expected.items()
    logged = yaml.full_load((trained / "hparams.yaml").read_text())
    for written in (content(trained)["hyper_parameters"], logged):
        assert written.items() >= given["model"].items()
    last = f"--ckpt_path={trained / 'checkpoints' / 'last.ckpt'}"
    assert fit(f"--config={trained / 'config.yaml'}", last, "--trainer.max_steps=8") is None


@pytest.mark.parametrize(
    ("name", "here"),
    [("path", "moved"), ("strict", True), ("placement", "host"), ("predict_samples", 3)],
)
def test_where_data_is_and_how_it_is_read_is_no_change(name, here):
    there = HuggingFaceImages("here")
    fit = {"data": data_options(there), "devices": 1}
    here = HuggingFaceImages(**({"path": "here"} | {name: here}))
    assert data_options(here) != data_options(there)
    assert changes({"fit": fit}, tiny("wgan"), here, devices=1) == {}


def test_a_cuda_graph_is_no_change():
    checkpoint = {"hyper_parameters": dict(tiny("wgan").hparams)}
    assert changes(checkpoint, tiny("wgan", cuda_graph=True), None, devices=1) == {}
    assert changes(checkpoint, tiny("wgan", dequantize=True), None, devices=1) != {}


def test_a_fit_that_has_changed_once_resumes_in_its_new_folder(resume, fit, tmp_path):
    run = resume("--model.critic_lr=1e-6")
    last = run / "checkpoints" / "last.ckpt"
    config = f"--config={run / 'config.yaml'}"
    assert fit(config, "--trainer.max_steps=8", f"--ckpt_path={last}") is None
    assert content(run)["global_step"] == 8
    assert [group["lr"] for group in groups(run)] == [1e-6, RATE]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--model.n_critic=2", "n_critic 2, not 1"),
        ("--data.batch_size=8", "data.batch_size 8, not 16"),
        ("--data.train_samples=100", "data.train_samples 100, not None"),
    ],
)
def test_what_decides_on_the_samples_cannot_change(resume, tmp_path, capfd, option, said):
    before = files(tmp_path)
    with pytest.raises(SystemExit):
        resume(option)
    assert f"gan-lightning: a fit cannot resume with {said}: keep" in capfd.readouterr().err
    assert files(tmp_path) == before


def test_another_option_of_the_data_starts_a_new_folder(fit, caplog):
    ring = ("--model=WGAN", *NARROW, "--data=Ring", "--data.num_samples=640")
    run = fit(*ring, "--trainer.max_steps=2")
    last = f"--ckpt_path={run}/checkpoints/last.ckpt"
    again = fit(*ring, "--data.num_samples=1280", last, "--trainer.max_steps=4")
    assert again.name == "version_1"
    assert "the fit resumes with data.num_samples 1280, not 640" in caplog.messages


def test_another_seed_is_not_used_and_not_written(resume, trained, caplog):
    assert resume("--seed_everything=5") is None
    assert "the fit keeps its seed_everything 0: 5 is not used" in caplog.messages
    assert yaml.safe_load((trained / "config.yaml").read_text())["seed_everything"] == 0
    loader = content(trained)["loops"]["fit_loop"]["state_dict"]["combined_loader"][0]
    assert loader["seed"] == 0


def test_a_batch_may_be_divided_among_other_devices():
    model, data = tiny("wgan"), Ring(batch_size=8)
    checkpoint = {"fit": {"data": {"class": "Ring", "batch_size": 16}, "devices": 1}}
    assert changes(checkpoint, model, data, devices=2) == {}
    assert changes(checkpoint, model, data, devices=1) == {"data.batch_size": (16, 8)}


def test_a_changed_fit_does_not_write_into_a_folder_that_it_is_given(fit, tmp_path, capfd):
    option = "--checkpoint.dirpath=kept"
    fit(*FIT, "--trainer.max_steps=2", option)
    (last,) = tmp_path.rglob("last.ckpt")
    before = files(tmp_path)
    with pytest.raises(SystemExit):
        fit(*FIT, "--trainer.max_steps=4", option, f"--ckpt_path={last}", "--model.critic_lr=1e-6")
    message = "which this one would overwrite: choose another folder (dirpath), or resume with its"
    assert message in capfd.readouterr().err
    assert files(tmp_path) == before


def test_a_requeued_job_continues_what_its_command_has_changed(resume, monkeypatch, trained):
    monkeypatch.setattr("gan_lightning.training.requeue.job", lambda: "77")
    run = resume("--model.critic_lr=1e-6")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert resume("--model.critic_lr=1e-6", "--trainer.max_steps=8") is None
    assert content(run)["global_step"] == 8
    assert content(trained)["global_step"] == 4


def test_a_script_with_another_model_starts_a_new_folder(trained, tmp_path):
    trainer = Trainer(max_steps=2, val_check_interval=2, default_root_dir=tmp_path / "script")
    model = {"latent_dim": 4, "generator_width": 8, "critic_width": 8}
    data = Ring(num_samples=640)
    trainer.fit(DCGAN(data.shape, **model), data)
    last = trainer.checkpoint_callback.last_model_path
    again = Trainer(max_steps=4, val_check_interval=2, default_root_dir=tmp_path / "script")
    again.fit(DCGAN(data.shape, critic_lr=1e-3, **model), data, ckpt_path=last)
    assert {path.name for path in (tmp_path / "script").glob("*/*")} == {"version_0", "version_1"}
    assert [o.param_groups[0]["lr"] for o in again.optimizers] == [1e-3, RATE]


# Exactly from the checkpoint's update on


class SetRate(pl.Callback):
    def on_train_start(self, trainer, pl_module):
        trainer.optimizers[0].param_groups[0]["lr"] = 1e-3


def ended(path, steps, ckpt_path=None, callback=None, name="dcgan", **hyperparameters):
    """The state of a model after a fit, whose checkpoint is written to a path."""
    torch.manual_seed(0)
    model = tiny(name, IMAGE, **hyperparameters)
    callbacks = [callback] if callback else []
    loader = fixed(model.n_critic)
    trainer = train(model, loader, steps, ckpt_path=ckpt_path, callbacks=callbacks)
    trainer.save_checkpoint(path)
    return state(model), [o.param_groups[0]["lr"] for o in trainer.optimizers]


def test_a_changed_rate_is_that_of_the_first_update(tmp_path):
    two = tmp_path / "two.ckpt"
    ended(two, 2)
    changed, _ = ended(tmp_path / "a.ckpt", 5, two, critic_lr=1e-3)
    by_hand, _ = ended(tmp_path / "b.ckpt", 5, two, SetRate())
    unchanged, _ = ended(tmp_path / "c.ckpt", 5, two)
    assert differences(changed, by_hand) == []
    assert differences(changed, unchanged) != []


@pytest.mark.parametrize(
    ("before", "after", "rate"),
    [(0, 10, 1 - 4 / 10), (20, 10, 1 - 4 / 10), (10, 0, 1.0), (10, 10, 1 - 4 / 10)],
)
def test_rates_fall_by_the_number_of_updates(tmp_path, before, after, rate):
    ended(tmp_path / "two.ckpt", 2, decay_steps=before)
    _, rates = ended(tmp_path / "four.ckpt", 4, tmp_path / "two.ckpt", decay_steps=after)
    assert rates == pytest.approx([RATE * rate] * 2)
    _, whole = ended(tmp_path / "whole.ckpt", 4, decay_steps=after)
    assert rates == whole


def test_a_changed_decay_is_that_of_a_run_that_had_it_from_the_start(tmp_path):
    ended(tmp_path / "two.ckpt", 2, critic_lr=0.0, generator_lr=0.0, decay_steps=20)
    rates = {"critic_lr": 1e-3, "generator_lr": 1e-3, "decay_steps": 10}
    ended(tmp_path / "four.ckpt", 4, tmp_path / "two.ckpt", **rates)
    ended(tmp_path / "whole.ckpt", 4, **rates)
    one, other = (torch.load(tmp_path / f"{n}.ckpt", weights_only=True) for n in ("four", "whole"))
    assert differences(one["lr_schedulers"], other["lr_schedulers"]) == []
    assert one["lr_schedulers"][0]["last_epoch"] == 4


def test_a_rate_that_training_has_lowered_stays_lowered(tmp_path):
    two = tmp_path / "two.ckpt"
    ended(two, 2, name="began")
    written = torch.load(two, weights_only=True)
    for saved in written["optimizer_states"]:
        saved["param_groups"][0]["lr"] /= 2
    torch.save(written, two)
    _, rates = ended(tmp_path / "a.ckpt", 4, two, name="began", critic_lr=4e-4, gamma=0.7)
    assert rates == pytest.approx([2e-4, 0.5e-4])


class OwnOptimizers(DCGAN):
    """Has its own constructor, and optimisers and schedules that the base class does not know."""

    def __init__(self, shape, num_classes=0, decay=0.0, gamma=0.5, every=2, **options):
        self.decay, self.gamma, self.every = decay, gamma, every
        self.shape, self.num_classes = shape, num_classes
        super().__init__(shape, num_classes, **options)

    def configure_optimizers(self):
        made = [
            torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=self.decay, amsgrad=True)
            for network in (self.critic, self.generator)
        ]
        return made, [StepLR(optimizer, self.every, self.gamma) for optimizer in made]

    def step_schedules(self):
        for schedule in self.lr_schedulers():
            schedule.step()


def own(path, steps, ckpt_path=None, **hyperparameters):
    torch.manual_seed(0)
    widths = {"latent_dim": 4, "generator_width": 8, "critic_width": 8}
    model = OwnOptimizers(IMAGE, **hyperparameters, **widths)
    trainer = train(model, fixed(1), steps, ckpt_path=ckpt_path)
    trainer.save_checkpoint(path)
    return torch.load(path, weights_only=True)


def test_a_custom_technique_with_its_own_optimizers_resumes_exactly(tmp_path):
    whole = own(tmp_path / "whole.ckpt", 5, decay=0.1)
    own(tmp_path / "three.ckpt", 3, decay=0.1)
    resumed = own(tmp_path / "five.ckpt", 5, tmp_path / "three.ckpt", decay=0.1)
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "rng_states", "fit"):
        assert differences(resumed[part], whole[part]) == [], part


def test_the_options_of_a_custom_techniques_optimizers_change(tmp_path):
    three = tmp_path / "three.ckpt"
    own(three, 3, decay=0.1)
    resumed = own(tmp_path / "five.ckpt", 5, three, decay=0.2, gamma=0.1)
    for saved in resumed["optimizer_states"]:
        (group,) = saved["param_groups"]
        assert group["weight_decay"] == 0.2
        assert group["lr"] == pytest.approx(1e-3 * 0.1**2)  # after 2 and after 4 updates
        assert all(kept["step"] == 5 for kept in saved["state"].values())
    assert resumed["hyper_parameters"]["decay"] == 0.2


@pytest.mark.parametrize("plain", [False, True], ids=["Trainer", "pl.Trainer"])
@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_a_checkpoint_that_is_saved_after_another_command_resumes_exactly(tmp_path, plain, command):
    def trainer(steps):
        kind = pl.Trainer if plain else partial(Trainer, default_root_dir=tmp_path)
        return kind(max_steps=steps, limit_val_batches=1, **SILENT)

    def end(of):
        return [state(model), *(optimizer.state_dict() for optimizer in of.optimizers)]

    torch.manual_seed(0)
    model, whole = tiny("dcgan"), trainer(4)
    whole.fit(model, datamodule=Ring(num_samples=640, batch_size=16))
    ended = end(whole)
    torch.manual_seed(0)
    model, first = tiny("dcgan"), trainer(2)
    first.fit(model, datamodule=Ring(num_samples=640, batch_size=16))
    # Other data, which is not what the fit saw.
    getattr(first, command)(model, datamodule=Ring(num_samples=32, batch_size=8))
    first.save_checkpoint(tmp_path / "two.ckpt")
    model, rest = tiny("dcgan"), trainer(4)
    rest.fit(
        model,
        datamodule=Ring(num_samples=640, batch_size=16),
        ckpt_path=tmp_path / "two.ckpt",
        weights_only=True,
    )
    assert differences(end(rest), ended) == []


@pytest.fixture
def earlier(tmp_path):
    """A checkpoint of 2 updates that does not say what its optimisers were made with."""
    path = tmp_path / "two.ckpt"
    ended(path, 2)
    written = torch.load(path, weights_only=True)
    del written["fit"]
    torch.save(written, path)
    return path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"critic_lr": 1e-3}, "critic_lr 0.001, not 0.0002"),
        ({"betas": (0.1, 0.2), "dequantize": True}, "betas (0.1, 0.2), not (0.5, 0.999)"),
        ({"decay_steps": 8}, "decay_steps 8, not 0"),
        ({"real_label": 0.9}, "real_label 0.9, not 1.0"),  # the technique's own
    ],
)
def test_what_optimizers_may_hold_cannot_change_after_an_earlier_version(
    tmp_path, earlier, options, said
):
    ended(tmp_path / "a.ckpt", 4, earlier)
    message = f"a fit cannot resume with {said}: the checkpoint is of an earlier version"
    with pytest.raises(WrongFileError, match=re.escape(message)):
        ended(tmp_path / "b.ckpt", 4, earlier, **options)


def test_all_hyperparameters_of_the_base_class_but_these_are_in_no_optimizer():
    known = {*IN_NO_OPTIMIZER, *WITHOUT_EFFECT, *FIXED}
    rest = {each.name for each in fields(GAN)} - known
    assert rest == {"critic_lr", "generator_lr", "betas", "decay_steps"}


def test_what_no_optimizer_holds_changes_after_an_earlier_version(tmp_path, earlier, caplog):
    unchanged, _ = ended(tmp_path / "a.ckpt", 4, earlier)
    changed, _ = ended(
        *(tmp_path / "b.ckpt", 4, earlier),
        **{"dequantize": True, "generator_batch": 2, "channels_last": True},
    )
    assert "the fit resumes with generator_batch 2, not 1, dequantize True, not False" in (
        caplog.messages
    )
    assert differences(changed, unchanged) != []


@pytest.mark.parametrize("value", [3, [], [[]], [[3], [3]], [[{"lr": "x"}]] * 2])
def test_a_checkpoint_that_says_nonsense_of_its_optimizers_is_rejected(tmp_path, value):
    two = tmp_path / "two.ckpt"
    ended(two, 2)
    written = torch.load(two, weights_only=True)
    written["fit"]["optimizers"] = value
    torch.save(written, two)
    with pytest.raises(WrongFileError, match="had other optimizers than the model's"):
        ended(tmp_path / "a.ckpt", 4, two)


# A new run from the weights of another


@pytest.mark.slow
def test_a_new_run_starts_from_the_weights_of_a_checkpoint(fit, trained, tmp_path, capfd):
    path = trained / "checkpoints" / "last.ckpt"
    still = ("--model.critic_lr=0", "--model.generator_lr=0", "--trainer.max_steps=2")
    run = fit(*FIT, *still, f"--init_from={path}")
    assert run.name == "version_1"
    first, last = content(trained), content(run)
    weights = [name for name, _ in load(path).named_parameters()]
    assert weights
    for name in weights:
        assert torch.equal(first["state_dict"][name], last["state_dict"][name]), name
    assert last["global_step"] == 2
    assert {kept["step"].item() for kept in last["optimizer_states"][0]["state"].values()} == {2}
    assert first["rng_states"][0]["cpu"].shape == last["rng_states"][0]["cpu"].shape
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["init_from"] == str(path)
    own = run / "checkpoints" / "last.ckpt"
    for given in ((), (f"--config={run}/config.yaml",), ("--config", run / "config.yaml")):
        assert fit(*given, f"--ckpt_path={own}", command="predict") is not None
    # It is read and resumed without the first file.
    path.resolve().unlink()
    assert load(run / "checkpoints" / "last.ckpt").updates == 2
    resumed = (f"--config={run}/config.yaml", f"--ckpt_path={run}/checkpoints/last.ckpt")
    assert fit(*resumed, "--trainer.max_steps=3") is None
    assert content(run)["global_step"] == 3
    assert "init_from" not in (trained / "config.yaml").read_text()


def test_a_requeued_job_does_not_return_to_the_weights_that_it_started_from(
    fit, trained, monkeypatch
):
    monkeypatch.setattr("gan_lightning.training.requeue.job", lambda: "77")
    path = trained / "checkpoints" / "step=4.ckpt"
    given = (*FIT, f"--init_from={path}", "--trainer.val_check_interval=2")
    run = fit(*given, "--trainer.max_steps=2")
    path.unlink()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert fit(*given, "--trainer.max_steps=4") is None
    assert content(run)["global_step"] == 4


def test_a_script_starts_from_the_weights_of_a_checkpoint(tmp_path):
    data = Ring(num_samples=640)
    model = DCGAN(data.shape, latent_dim=4, generator_width=8, critic_width=8)
    trainer = Trainer(max_steps=2, val_check_interval=2, default_root_dir=tmp_path / "script")
    trainer.fit(model, data)
    rates = {"critic_lr": 0.0, "generator_lr": 0.0}
    other = DCGAN(data.shape, latent_dim=4, generator_width=8, critic_width=8, **rates)
    again = Trainer(max_steps=1, val_check_interval=1, default_root_dir=tmp_path / "script")
    again.fit(other, data, init_from=trainer.checkpoint_callback.last_model_path)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    assert again.global_step == 1


@pytest.mark.parametrize(
    ("given", "words", "code"),
    [
        (("--model.generator_width=16",), "of other networks than the model's: generator_width", 1),
        (("--data=Ring",), "shape (1, 8, 8), not (2,)", 1),
        (("--init_from=nowhere.ckpt",), "--init_from: there is no file nowhere.ckpt", 2),
    ],
)
def test_weights_of_other_shapes_are_rejected(fit, trained, tmp_path, capfd, given, words, code):
    before = files(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        fit(*FIT, f"--init_from={trained}/checkpoints/last.ckpt", *given)
    assert stopped.value.code == code
    assert words in capfd.readouterr().err.splitlines()[-1]
    assert files(tmp_path) == before


def saved(path, model, **arguments):
    train(model, batches(), 3, **arguments).save_checkpoint(path)
    return path


def test_what_belongs_to_training_is_not_taken(tmp_path):
    trained = tiny("began")
    trained.k.fill_(0.3)
    path = saved(tmp_path / "began.ckpt", trained)
    model = tiny("began")
    load_networks(model, path)
    assert trained.k > 0
    assert model.k == 0
    assert model.updates == 0
    rest = {name: x for name, x in state(trained).items() if "." in name}
    assert differences(rest, {name: x for name, x in state(model).items() if "." in name}) == []


def test_the_weights_may_be_of_another_technique(tmp_path):
    trained = tiny("lsgan")
    path = saved(tmp_path / "lsgan.ckpt", trained)
    model = tiny("dcgan")
    load_networks(model, path)
    assert differences(state(model), state(trained)) == []


def test_a_moving_average_is_taken_or_starts_at_the_generator(tmp_path):
    averaged, plain = tiny("dcgan", ema_decay=0.5), tiny("dcgan")
    with_average = saved(tmp_path / "average.ckpt", averaged)
    without = saved(tmp_path / "plain.ckpt", plain)
    model = tiny("dcgan", ema_decay=0.9)
    load_networks(model, with_average)
    assert differences(state(model.generator_ema), state(averaged.generator_ema)) == []
    load_networks(model, without)
    assert differences(state(model.generator_ema), state(plain.generator)) == []
    bare = tiny("dcgan")
    load_networks(bare, with_average)
    assert differences(state(bare.generator), state(averaged.generator)) == []


def test_weights_alone_are_enough(tmp_path):
    model = tiny("dcgan")
    path = tmp_path / "weights.ckpt"
    torch.save({"state_dict": model.state_dict()}, path)
    other = tiny("dcgan")
    load_networks(other, path)
    assert differences(state(other), state(model)) == []
    torch.save({"x": torch.zeros(1)}, path)
    with pytest.raises(WrongFileError, match="is not a checkpoint of a run"):
        load_networks(other, path)
