"""The training loop that all techniques share: steps, logs, checkpoints and errors."""

import copy
import csv
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from helpers import (
    CASES,
    CLASSES,
    CONDITIONAL,
    GROWING,
    IMAGE,
    VECTOR,
    batches,
    differences,
    every_case,
    every_case_of_a_kind,
    every_conditional,
    every_kind,
    every_technique,
    families,
    given,
    samples,
    slow_but,
    state,
    techniques,
    tiny,
    train,
)
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.plugins import MixedPrecision
from torch import nn

from gan_lightning import DCGAN, TECHNIQUES, load
from gan_lightning.data import TensorLoader
from gan_lightning.networks.minibatch import MinibatchDeviation, MinibatchLayer
from gan_lightning.utils.errors import ArgumentError

# Values that a technique logs in addition to losses and scores.
WATCHED = {
    "dcgan": ("accuracy/real", "accuracy/fake"),
    "wgan": ("wasserstein",),
    "wgan_gp": ("wasserstein", "gradient_norm", "penalty"),
    "began": ("k", "convergence"),
    "feature_matching": ("feature_distance", "feature_norm"),
    "unrolled": ("unrolled_gain",),
    "progressive": ("wasserstein", "gradient_norm", "penalty", "images"),
    "stylegan": ("r1", "penalty"),
    "r3gan": ("accuracy", "r1", "r2", "gamma", "penalty"),
}


def classes_of(name):
    return CLASSES if name in CONDITIONAL else 0


def mixes_samples(network):
    kinds = nn.BatchNorm2d | nn.BatchNorm1d | MinibatchLayer | MinibatchDeviation
    return any(isinstance(module, kinds) for module in network.modules())


def copies(tensors):
    return [None if tensor is None else tensor.clone() for tensor in tensors]


def same(one, other):
    """For each pair of tensors, or Nones, whether they are equal."""
    return [
        a is b if a is None or b is None else torch.equal(a, b)
        for a, b in zip(one, other, strict=True)
    ]


class StepRecorder(pl.Callback):
    """Records whose step each optimiser step was, and its effect on both networks."""

    def __init__(self):
        self.steps = []

    def on_train_start(self, trainer, pl_module):
        networks = {"critic": pl_module.critic, "generator": pl_module.generator}
        parameters = {key: list(network.parameters()) for key, network in networks.items()}
        gradients = {key: [None] * len(values) for key, values in parameters.items()}

        def before(whose):
            other = "generator" if whose == "critic" else "critic"
            of_other = [p.grad for p in parameters[other]]
            self.steps.append(
                {
                    "whose": whose,
                    "no gradient": [p.grad is None for p in parameters[whose]],
                    "other's gradients": all(same(of_other, gradients[other])),
                }
            )
            gradients[whose] = copies(p.grad for p in parameters[whose])
            self.before = {key: copies(values) for key, values in parameters.items()}

        def after():
            for key, values in parameters.items():
                self.steps[-1][f"{key} unchanged"] = same(values, self.before[key])

        for whose, optimizer in zip(("critic", "generator"), trainer.optimizers, strict=True):
            optimizer.register_step_pre_hook(lambda *_, whose=whose: before(whose))
            optimizer.register_step_post_hook(lambda *_: after())


# Steps.


@pytest.mark.parametrize("n_critic", [1, 3])
@every_kind
def test_a_step_is_one_generator_update(name, n_critic):
    model = tiny(name, n_critic=n_critic)
    trainer = train(model, batches(), max_steps=5)
    assert trainer.global_step == model.global_step == 5
    critic_optimizer, generator_optimizer = trainer.optimizers
    for optimizer, network, steps in (
        (critic_optimizer, model.critic, 5 * n_critic),
        (generator_optimizer, model.generator, 5),
    ):
        assert {optimizer.state[p]["step"].item() for p in network.parameters()} == {steps}


@every_case_of_a_kind
def test_each_step_changes_only_its_own_network(name, shape, num_classes):
    model = tiny(name, shape, num_classes, n_critic=2)
    recorder = StepRecorder()
    train(model, batches(shape), max_steps=3, callbacks=recorder)
    assert [s["whose"] for s in recorder.steps] == ["critic", "critic", "generator"] * 3
    for step in recorder.steps:
        other = "generator" if step["whose"] == "critic" else "critic"
        # Layers of another level have none.
        assert not any(step["no gradient"]) or (name in GROWING and shape == IMAGE)
        assert step["other's gradients"], "the other network's gradients were touched"
        assert all(step[f"{other} unchanged"])
        assert not all(step[f"{step['whose']} unchanged"])


@every_kind
def test_each_step_follows_only_the_gradient_of_its_own_loss(name, monkeypatch):
    model = tiny(name, n_critic=2)
    expected, taken = [], []

    def recording(objective, network):
        def record(*args):
            loss, *others = objective(*args)
            expected.append(torch.autograd.grad(loss, network.parameters(), retain_graph=True))
            return loss, *others

        return record

    for key in ("critic", "generator"):
        objective, network = getattr(model, f"{key}_objective"), getattr(model, key)
        monkeypatch.setattr(model, f"{key}_objective", recording(objective, network))

    class Taken(pl.Callback):
        def on_train_start(self, trainer, pl_module):
            for optimizer in trainer.optimizers:
                (group,) = optimizer.param_groups
                optimizer.register_step_pre_hook(
                    lambda *_, group=group: taken.append([p.grad.clone() for p in group["params"]])
                )

    train(model, batches(), max_steps=2, callbacks=Taken())
    assert len(taken) == len(expected) == 6
    for gradients, of_loss in zip(taken, expected, strict=True):
        torch.testing.assert_close(gradients, list(of_loss))


@every_kind
def test_critic_updates_split_the_batch_in_order(name, monkeypatch):
    model = tiny(name, num_classes=classes_of(name), n_critic=3)
    shares, generator_calls = [], []
    critic_objective, generator_objective = model.critic_objective, model.generator_objective

    def record_critic(x, y, z, due):
        shares.append((x, y, z))
        return critic_objective(x, y, z, due)

    def record_generator(x, y, z, due, *others):
        generator_calls.append((x, y, z))
        return generator_objective(x, y, z, due, *others)

    monkeypatch.setattr(model, "critic_objective", record_critic)
    monkeypatch.setattr(model, "generator_objective", record_generator)
    x, y = samples(n=11)
    train(model, given((x, y)), max_steps=1)
    assert [len(part) for part, _, _ in shares] == [4, 4, 3]
    assert torch.equal(torch.cat([part for part, _, _ in shares]), x)
    ((generator_samples, generator_labels, generator_latents),) = generator_calls
    assert torch.equal(generator_samples, x[8:])
    times = model.generator_batch
    assert times == (2 if name in ("wgan_gp", "sngan") else 1)
    if name in CONDITIONAL:
        assert torch.equal(torch.cat([labels for _, labels, _ in shares]), y)
        assert torch.equal(generator_labels, y[8:].repeat(times))
    # Every update draws its own latents, one for each sample.
    latents = torch.cat([z for _, _, z in shares] + [generator_latents])
    assert latents.shape == (11 + 3 * times, 4)
    assert len(latents.unique(dim=0)) == len(latents)


@every_kind
def test_dequantization_adds_noise_only_to_real_images(name, monkeypatch):
    for shape in (VECTOR, IMAGE):
        model = tiny(name, shape, dequantize=True, n_critic=2)
        seen = []
        objective = model.critic_objective
        monkeypatch.setattr(
            model,
            "critic_objective",
            lambda x, *rest, seen=seen, of=objective: seen.append(x.clone()) or of(x, *rest),
        )
        x = torch.zeros(400, *shape)
        train(model, given((x, None)), max_steps=1)
        noise = torch.cat(seen)
        assert not x.any(), "the loader's own batch was changed"
        if shape == VECTOR:
            assert not noise.any()
        else:
            # As wide as one of 256 grey levels, and centred: rounding restores the image.
            assert -1 / 255 <= noise.min() < -0.99 / 255
            assert 0.99 / 255 < noise.max() <= 1 / 255
            assert noise.mean().item() == pytest.approx(0, abs=0.01 / 255)
            # The multiplication by 127.5 has float32's error.
            assert ((noise * 127.5).abs() <= 0.5 + 1e-5).all()


@pytest.mark.parametrize("name", techniques("dcgan"))
def test_every_family_of_networks_works_with_every_technique(name):
    for network in families(name):
        model = tiny(name, IMAGE, classes_of(name), network=network)
        before = state(model)
        train(model, batches(IMAGE), max_steps=1)
        changed = {key.split(".")[0] for key in differences(before, state(model))}
        assert {"critic", "generator"} <= changed, network


def test_an_error_about_an_unknown_network_lists_the_known_ones():
    with pytest.raises(ValueError, match="there is no network 'vgg': choose from dcgan, "):
        tiny("dcgan", IMAGE, network="vgg")
    with pytest.raises(ValueError, match="there is no critic_norm 'group'"):
        tiny("dcgan", IMAGE, critic_norm="group")


@pytest.mark.parametrize("labelled", [True, False])
@every_kind
def test_networks_without_classes_see_no_labels(name, labelled):
    model = tiny(name)
    seen = []
    for network in (model.generator, model.critic):
        network.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    x, y = samples()
    train(model, given((x, y if labelled else None)), max_steps=1)
    model.sample(len(y), y)
    assert seen
    assert all(label is None for label in seen)


@every_case
def test_the_objectives_apply_the_losses_to_the_scores(name, shape, num_classes):
    plain = {"unrolled_steps": 0} if name == "unrolled" else {}
    model = tiny(name, shape, num_classes, **plain)
    restated = copy.deepcopy(model)
    x, y = samples(shape, 6)
    y = y if num_classes else None
    z = model.draw_latents(6)

    torch.manual_seed(1)
    loss, terms, scores = model.critic_objective(x, y, z)
    torch.manual_seed(1)
    with torch.no_grad():
        fake = restated.generator(z, y)
    if mixes_samples(restated.critic):
        # Real and generated samples pass separately, so that they are not mixed.
        real_scores, fake_scores = restated.critic(x, y), restated.critic(fake, y)
    else:
        # Both pass together: spectral normalisation iterates once for both.
        both = restated.critic(torch.cat([x, fake]), y if y is None else torch.cat([y, y]))
        real_scores, fake_scores = both.chunk(2)
    expected = restated.critic_loss(real_scores, fake_scores)
    regularizers = restated.critic_regularizers()
    if regularizers:
        penalty = regularizers[0].every * regularizers[0].term(x, y, fake)[0]
        expected = expected + penalty
        assert penalty != 0
        torch.testing.assert_close(terms["penalty"], penalty.detach())
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(terms["loss/critic"], expected.detach())
    torch.testing.assert_close(terms["score/real"], real_scores.mean().detach())
    torch.testing.assert_close(terms["score/fake"], fake_scores.mean().detach())
    torch.testing.assert_close(scores, (real_scores.detach(), fake_scores.detach()))
    assert ("penalty" in terms) is bool(regularizers)

    if name == "feature_matching":
        return  # its generator's loss is not of scores: test_salimans.py
    torch.manual_seed(1)
    loss, terms = model.generator_objective(x, y, z)
    torch.manual_seed(1)
    generated = restated.generator(z, y)
    if restated.pairs:
        both = restated.critic(torch.cat([x, generated]), y if y is None else torch.cat([y, y]))
        expected = restated.generator_loss(*both.chunk(2)[::-1])
    else:
        expected = restated.generator_loss(restated.critic(generated, y))
    for regularizer in restated.generator_regularizers():
        expected = expected + regularizer.every * regularizer.term(y, z)[0]
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(terms["loss/generator"], expected.detach())


@every_case_of_a_kind
def test_real_and_generated_samples_are_scored_in_one_pass_or_two(name, shape, num_classes):
    model = tiny(name, shape, num_classes).eval()  # a pass changes no buffers
    x, y = samples(shape, 6)
    generated, y = -x.flip(0), y if num_classes else None
    passes = []
    model.critic.register_forward_hook(lambda module, args, scores: passes.append(len(scores)))
    real, fake = model.compare(x, generated, y)
    assert passes == ([6, 6] if mixes_samples(model.critic) else [12])
    torch.testing.assert_close(real, model.critic(x, y))
    torch.testing.assert_close(fake, model.critic(generated, y))


@pytest.mark.parametrize(
    ("name", "shape", "num_classes"), slow_but(["dcgan"], [c for c in CASES if c[1] == IMAGE])
)
def test_the_objectives_compile_as_one_graph(name, shape, num_classes):
    # There is no graph break; "eager" traces without generating code.
    model = tiny(name, shape, num_classes)
    x, y = samples(shape, 4)
    y = y if num_classes else None
    z = model.draw_latents(4)
    torch._dynamo.reset()
    for objective, arguments in [
        (model.critic_objective, (x, y, z)),
        (model.generator_objective, (x, y, z)),
    ]:
        compiled = torch.compile(objective, fullgraph=True, backend="eager")
        loss, *_ = compiled(*arguments)
        assert torch.isfinite(loss)


@every_technique
def test_bfloat16_trains_to_finite_weights(name):
    model = tiny(name, IMAGE, classes_of(name), n_critic=2)
    before = state(model)
    train(model, batches(IMAGE), max_steps=2, precision="bf16-mixed")
    assert differences(before, state(model))
    assert all(p.isfinite().all() and p.dtype == torch.float32 for p in model.parameters())


@every_kind
def test_the_same_seed_gives_the_same_bits(name):
    def run(seed):
        torch.manual_seed(seed)
        model = tiny(name, IMAGE, classes_of(name), n_critic=2)
        train(model, batches(IMAGE, shuffle=True), max_steps=3)
        return state(model)

    first = run(0)
    assert not differences(first, run(0))
    assert differences(first, run(1))


class RateRecorder(pl.Callback):
    """Records the learning rates of critic and generator at the start of each update."""

    def __init__(self):
        self.rates = []

    def on_train_batch_start(self, trainer, *_):
        self.rates.append([o.param_groups[0]["lr"] for o in trainer.optimizers])


@pytest.mark.parametrize(
    ("decay_steps", "factors"), [(4, [1, 0.75, 0.5, 0.25, 0, 0]), (0, [1] * 6)]
)
@every_kind
def test_learning_rates_decay_linearly_over_generator_updates(name, decay_steps, factors):
    rates = {"critic_lr": 0.25, "generator_lr": 0.125}
    rates |= {"last_rate": 1.0} if name == "r3gan" else {}  # its own schedule is left out
    model = tiny(name, n_critic=2, decay_steps=decay_steps, **rates)
    recorder = RateRecorder()
    # Two updates per epoch: the end of an epoch changes nothing.
    train(model, batches(batch_size=20), max_steps=6, callbacks=recorder)
    assert recorder.rates == [[0.25 * factor, 0.125 * factor] for factor in factors]


# Logs.


class RowCounter(pl.Callback):
    """Counts the rows that are on disk after each update."""

    def __init__(self, path):
        self.path = path
        self.rows = []

    def on_train_batch_end(self, *_):
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.rows.append(max(0, len(lines) - 1))


@every_technique
def test_the_logged_step_is_the_number_of_generator_updates(name, tmp_path):
    model = tiny(name, n_critic=3)
    path = tmp_path / "metrics.csv"
    counter = RowCounter(path)
    logger = CSVLogger(tmp_path, name="", version="")
    trainer = train(
        model, batches(), max_steps=5, logger=logger, log_every_n_steps=2, callbacks=counter
    )
    assert counter.rows == [0, 1, 1, 2, 2]
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [2, 4]
    terms = {"loss/critic", "loss/generator", "score/real", "score/fake", *WATCHED.get(name, ())}
    assert rows[0].keys() == terms | {"step"}
    # Callbacks see the last of the same values.
    for term in terms:
        logged = trainer.callback_metrics[term].item()
        assert float(rows[-1][term]) == pytest.approx(logged, rel=1e-6)


# The average.


@every_kind
def test_the_average_follows_each_generator_update(name):
    model = tiny(name, IMAGE, ema_decay=0.75, ema_start=0, n_critic=2)
    start = state(model.generator)
    assert not differences(start, state(model.generator_ema))
    train(model, batches(IMAGE), max_steps=1)
    averaged = dict(model.generator_ema.named_parameters())
    for key, parameter in model.generator.named_parameters():
        torch.testing.assert_close(averaged[key], 0.75 * start[key] + 0.25 * parameter, msg=key)
    assert differences(start, state(model.generator_ema))


@every_kind
def test_the_average_is_not_trained(name):
    model = tiny(name, ema_decay=0.5)
    assert not any(p.requires_grad for p in model.generator_ema.parameters())
    optimizers, _ = model.configure_optimizers()
    trained = {p for o in optimizers for g in o.param_groups for p in g["params"]}
    assert trained == {*model.generator.parameters(), *model.critic.parameters()}
    assert tiny(name, ema_decay=0).generator_ema is None


# Checkpoints.


@every_case_of_a_kind
def test_a_checkpoint_loads_as_the_technique_that_wrote_it(name, shape, num_classes, tmp_path):
    model = tiny(name, shape, num_classes, n_critic=2, ema_decay=0.5)
    trainer = train(model, batches(shape), max_steps=5)
    path = tmp_path / "some.ckpt"
    trainer.save_checkpoint(path)
    assert torch.load(path, weights_only=True)["global_step"] == 5
    loaded = load(path)
    assert type(loaded) is TECHNIQUES[name]
    assert loaded.hparams == model.hparams
    assert not differences(state(model), state(loaded))
    drawn = []
    for module in (model, loaded):
        torch.manual_seed(1)
        drawn.append(module.sample(3))
    assert torch.equal(*drawn)


def test_a_custom_technique_loads_if_it_is_imported(tmp_path):
    # Local, since the command line offers every class at the top level of a module.
    class Custom(DCGAN):
        pass

    model = Custom(VECTOR, latent_dim=4, generator_width=8, critic_width=8)
    path = tmp_path / "some.ckpt"
    train(model, batches(), max_steps=1).save_checkpoint(path)
    assert type(load(path)) is Custom
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["technique"] = "elsewhere.Unknown"
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"elsewhere\.Unknown, which is not imported"):
        load(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ValueError, match="no technique"):
        load(path)


# Options that enable a technique's own schedules.
SCHEDULED = {
    "wgan": {"long_n_critic": 3},
    "began": {"decay_steps": 0, "halving_interval": 1, "residual_steps": 8, "critic_lr": 0.1},
}


def test_a_technique_with_its_own_constructor_loads(tmp_path):
    class Fixed(DCGAN):
        def __init__(self, shape, num_classes=0, *, temperature=1.0, **options):
            super().__init__(shape, num_classes, betas=(0.0, 0.5), **options)
            self.temperature = temperature

    model = Fixed(VECTOR, temperature=2.0, latent_dim=4, generator_width=8, critic_width=8)
    assert model.hparams == {
        "shape": VECTOR,
        "num_classes": 0,
        "temperature": 2.0,
        "latent_dim": 4,
        "generator_width": 8,
        "critic_width": 8,
    }
    path = tmp_path / "some.ckpt"
    train(model, batches(), max_steps=1).save_checkpoint(path)
    loaded = load(path)
    assert loaded.betas == (0.0, 0.5)
    assert loaded.temperature == 2.0
    assert loaded.latent_dim == 4


def resumable(name, seed):
    torch.manual_seed(seed)
    options = {"n_critic": 2, "ema_decay": 0.5, "decay_steps": 8} | SCHEDULED.get(name, {})
    return tiny(name, IMAGE, classes_of(name), **options)


def tensor_loader(batches_per_epoch):
    x, y = samples(IMAGE, 6 * batches_per_epoch)
    return TensorLoader(x, y, 6, seed=3)


def everything(model, trainer):
    return {"model": state(model), "optimizers": [o.state_dict() for o in trainer.optimizers]}


def assert_resumes_exactly(name, path, batches_per_epoch, **arguments):
    """Check that a run resumed from ``path`` at update 3 ends as six uninterrupted updates do."""
    whole = resumable(name, seed=0)
    expected = everything(whole, train(whole, tensor_loader(batches_per_epoch), 6))
    if name == "began":
        assert expected["optimizers"][0]["param_groups"][0]["lr"] < 0.1
    # Another seed: everything that matters must come from the checkpoint.
    resumed = resumable(name, seed=9)
    loader = tensor_loader(batches_per_epoch)
    trainer = train(resumed, loader, 6, ckpt_path=path, **arguments)
    assert trainer.global_step == 6
    changed = differences(expected, everything(resumed, trainer))
    assert changed == []


@pytest.mark.parametrize("batches_per_epoch", [4, 3], ids=["mid-epoch", "at an epoch's end"])
@every_kind
def test_a_resumed_run_equals_an_uninterrupted_run(name, batches_per_epoch, tmp_path):
    path = tmp_path / "3.ckpt"
    stopped = resumable(name, seed=0)
    train(stopped, tensor_loader(batches_per_epoch), 3).save_checkpoint(path)
    assert_resumes_exactly(name, path, batches_per_epoch)


VALIDATED = {
    "val_loader": TensorLoader(*samples(IMAGE, 6), 6),
    "val_check_interval": 3,
    "check_val_every_n_epoch": None,
}


@pytest.mark.parametrize(
    ("when", "batches_per_epoch", "arguments"),
    [
        ({"every_n_train_steps": 3}, 4, {}),
        ({"every_n_train_steps": 3}, 3, {}),
        ({"every_n_epochs": 1}, 3, {}),
        ({}, 4, VALIDATED),
        ({}, 3, VALIDATED),
    ],
)
def test_a_run_resumes_from_a_periodic_checkpoint(when, batches_per_epoch, arguments, tmp_path):
    name = next(iter(TECHNIQUES))
    writer = ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1, **when)
    train(
        resumable(name, seed=0),
        tensor_loader(batches_per_epoch),
        6,
        enable_checkpointing=True,
        callbacks=writer,
        **arguments,
    )
    assert_resumes_exactly(name, tmp_path / "step=3.ckpt", batches_per_epoch, **arguments)


# Errors.


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        # On a CPU, Lightning reads "16-mixed" as bfloat16 unless the plugin is given.
        ("16-mixed", {"plugins": MixedPrecision("16-mixed", "cpu")}),
        ("16-true", {"precision": "16-true"}),
    ],
)
def test_half_precision_is_refused(message, arguments):
    with pytest.raises(ValueError, match=f"precision {message} is not supported: use bf16-mixed"):
        train(tiny(next(iter(TECHNIQUES))), batches(), 1, **arguments)


@pytest.mark.parametrize(
    "shape", [(), (0,), (5, 8, 8), (3, 8, 9), (3, 7, 7), (3, 257, 257), (3, 8), (1, 3, 8, 8)]
)
@every_kind
def test_a_shape_that_no_network_fits_is_refused(name, shape):
    with pytest.raises(ValueError, match="shape must be"):
        tiny(name, shape)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("latent_dim", 0),
        ("n_critic", 0),
        ("generator_width", 0),
        ("critic_width", 0),
        ("decay_steps", -1),
        ("ema_decay", 1.0),
        ("ema_decay", -0.1),
    ],
)
@every_kind
def test_a_hyperparameter_out_of_its_range_is_refused(name, argument, value):
    with pytest.raises(ValueError, match=f"{argument} must be .* got {value}"):
        tiny(name, **{argument: value})


@every_kind
def test_a_negative_number_of_classes_is_refused(name):
    with pytest.raises(ValueError, match=r"num_classes must be .* got -1"):
        tiny(name, num_classes=-1)


@pytest.mark.parametrize("name", [name for name in TECHNIQUES if name not in CONDITIONAL])
def test_a_technique_without_a_conditional_form_refuses_labels(name):
    with pytest.raises(ValueError, match="without labels: num_classes must be 0, got 3"):
        tiny(name, num_classes=CLASSES)


X, Y = samples()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((X, Y, Y), r"a batch must be x, .* the loader gives a (tuple|list) of 3"),
        ({"points": X, "y": Y}, r"must have the samples under .*, x; the loader gives points, y"),
        ((X[:, :1], Y), r"of shape \(2,\), the batch holds \(1,\)"),
        ((X[:, None], Y), r"of shape \(2,\), the batch holds \(1, 2\)"),
        ((X[:3], Y[:3]), "feeds 4 critic updates and holds only 3 samples"),
    ],
)
@every_kind
def test_a_wrong_batch_is_refused(name, batch, message):
    with pytest.raises(ArgumentError, match=message):
        train(tiny(name, n_critic=4), given(batch), 1)


@every_conditional
def test_a_conditional_model_refuses_a_batch_without_labels(name):
    with pytest.raises(ValueError, match="has 3 classes, the batch has no labels"):
        train(tiny(name, num_classes=CLASSES), given((X, None)), 1)


def test_learning_rates_that_decay_are_logged_with_each_row(tmp_path):
    def rows(**options):
        logger = CSVLogger(tmp_path, name=str(options))
        model = tiny("dcgan", critic_lr=0.4, generator_lr=0.2, **options)
        train(model, batches(), 4, logger=logger, log_every_n_steps=2)
        with (Path(logger.log_dir) / "metrics.csv").open() as file:
            return [row for row in csv.DictReader(file) if row["loss/critic"]]

    logged = rows(decay_steps=8)
    assert [row["step"] for row in logged] == ["2", "4"]
    assert [float(row["lr/critic"]) for row in logged] == pytest.approx([0.3, 0.2])
    assert [float(row["lr/generator"]) for row in logged] == pytest.approx([0.15, 0.1])
    assert not any("lr/critic" in row for row in rows())


def test_a_monitor_of_learning_rates_names_both_networks(tmp_path):
    monitor = LearningRateMonitor("step")
    model = tiny("dcgan", decay_steps=8)
    train(model, batches(), 2, logger=CSVLogger(tmp_path), callbacks=[monitor])
    assert set(monitor.lrs) == {"lr/critic", "lr/generator"}
