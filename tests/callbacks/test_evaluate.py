"""Evaluate: scores against reference computations, when they are computed, and side effects."""

import math
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import IMAGE, differences, state, tiny
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from scipy.linalg import sqrtm
from torch import nn
from torchmetrics import Metric

from gan_lightning import GAN
from gan_lightning.callbacks import Evaluate
from gan_lightning.callbacks.evaluate import generated_at_a_time
from gan_lightning.data import Digits, Ring, TensorLoader
from gan_lightning.data.base import GANDataModule
from gan_lightning.metrics import extract, load_extractor
from gan_lightning.utils.errors import ArgumentError, TooFewSamplesError
from gan_lightning.utils.images import to_uint8

SCORES = ["fd1797_digits_cnn", "is1797_digits_cnn"]
EVERY_UPDATE = {"val_check_interval": 1, "check_val_every_n_epoch": None}


class _Known(GAN):
    """Returns the given images in turn."""

    def __init__(self, images):
        super().__init__(
            tuple(images.shape[1:]),
            latent_dim=1,
            n_critic=1,
            critic_lr=0.0,
            generator_lr=0.0,
            generator_width=1,
            critic_width=1,
        )
        self.images = images
        self.requested = []

    def draw_latents(self, n):
        return torch.arange(n).view(n, 1)

    def build_networks(self):
        return nn.Identity(), nn.Identity()

    def critic_loss(self, real, fake):
        raise NotImplementedError

    def generator_loss(self, fake):
        raise NotImplementedError

    def generate(self, z, y):
        self.requested.append(len(z))
        return self.images[z[:, 0] % len(self.images)]


class _Images(GANDataModule):
    """A data module with the given uint8 images."""

    shape = IMAGE
    extractor = "digits_cnn"

    def __init__(self, images):
        super().__init__(batch_size=100)
        self.images = images

    def load(self, split):
        return self.images, None


@pytest.fixture
def digits():
    """All digits ``(1797, 1, 8, 8)``, as floats and as bytes."""
    images, _ = Digits().load("train")
    ((floats, _),) = TensorLoader(images, None, len(images))
    return floats, images


@pytest.fixture
def scores(make_trainer):
    """``scores(model, data)`` returns what a validation outside a fit logs."""

    def measure(model, data, evaluate=None):
        trainer = make_trainer(evaluate or Evaluate())
        (measured,) = trainer.validate(model, data, verbose=False)
        if measured:
            assert measured.pop("step") == model.updates
        return measured

    return measure


@pytest.fixture
def logged_fit(make_trainer, metrics, tmp_path):
    """``logged_fit(model)`` trains on digits and returns the logged values by update."""

    def fit(model, *callbacks, **arguments):
        logger = CSVLogger(tmp_path, "logs")
        defaults = {"max_steps": 4, "num_sanity_val_steps": -1, "log_every_n_steps": 0}
        trainer = make_trainer(
            Evaluate(), *callbacks, logger=logger, **(EVERY_UPDATE | defaults | arguments)
        )
        trainer.fit(model, Digits(batch_size=8))
        assert set(SCORES) <= set(trainer.callback_metrics)
        return metrics(Path(logger.log_dir))

    return fit


def frechet_distance(real, fake):
    """The Fréchet distance of bytes by its definition, in float64."""
    network = load_extractor("digits_cnn").network
    one, other = (network(x)[0].double().numpy() for x in (real, fake))
    first, second = (np.cov(features, rowvar=False) for features in (one, other))
    root = sqrtm(first @ second).real
    return np.sum((one.mean(0) - other.mean(0)) ** 2) + np.trace(first + second - 2 * root)


def random_states():
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": str(np.random.get_state()),  # noqa: NPY002
        "python": random.getstate(),
    }


# Values


def test_the_distance_matches_its_definition(digits, scores):
    floats, images = digits
    fake = (floats[700:] + 0.3 * torch.randn(1097, *IMAGE)).clamp(-1, 1)
    result = scores(_Known(fake), _Images(images[:700]), Evaluate(num_samples=1097))
    rounded = torch.from_numpy(np.rint((fake.double().numpy() + 1) * 127.5).astype(np.uint8))
    expected = frechet_distance(images[:700], rounded)
    assert expected > 1
    assert result["fd1097_digits_cnn"] == pytest.approx(expected, rel=1e-6)


def test_real_samples_have_distance_zero_to_themselves(digits, scores):
    floats, images = digits
    result = scores(_Known(floats), _Images(images))
    assert abs(result["fd1797_digits_cnn"]) < 1e-6
    # The classifier separates the ten digits well.
    assert 9 < result["is1797_digits_cnn"] <= 10


def test_a_single_repeated_image_has_the_lowest_inception_score(digits, scores):
    floats, images = digits
    result = scores(_Known(floats[:1]), _Images(images))
    assert result["is1797_digits_cnn"] == pytest.approx(1)
    assert result["fd1797_digits_cnn"] > 100


def test_a_sample_that_is_not_finite_makes_the_scores_nan(digits, scores):
    floats, images = digits
    broken = floats.clone()
    broken[5, 0, 3, 3] = math.nan
    with pytest.warns(UserWarning, match="_Known diverged: some of 1,797 generated samples are"):
        result = scores(_Known(broken), _Images(images))
    assert result.pop("diverged") == 1
    assert sorted(result) == SCORES
    assert all(map(math.isnan, result.values()))


@pytest.mark.parametrize(
    ("x", "byte"),
    [
        (-1, 0),
        (1, 255),
        (-7, 0),
        (7, 255),
        (-1 + 0.6 / 127.5, 1),
        (-1 + 0.4 / 127.5, 0),
        (0.01, 129),
    ],
)
def test_rounding_is_to_the_nearest_byte(x, byte):
    rounded = to_uint8(torch.tensor([x]))
    assert (rounded.item(), rounded.dtype) == (byte, torch.uint8)


def test_rounding_inverts_the_scaling_of_the_loader():
    values = torch.arange(256, dtype=torch.uint8).view(-1, 1, 1, 1)
    ((floats, _),) = TensorLoader(values, None, 256)
    assert torch.equal(to_uint8(floats), values)


# Samples


@pytest.mark.parametrize(
    ("num_samples", "requested"), [(None, [70, 30]), (17, [17]), (150, [70, 70, 10])]
)
def test_the_requested_number_of_samples_is_drawn(digits, scores, num_samples, requested):
    floats, images = digits
    model = _Known(floats)
    scores(model, _Images(images[:100]), Evaluate(num_samples=num_samples, batch_size=70))
    assert model.requested == requested


@pytest.mark.parametrize(
    ("option", "value"), [("num_samples", 1), ("num_samples", 0), ("batch_size", 0)]
)
def test_invalid_numbers_of_samples_are_rejected_at_once(option, value):
    with pytest.raises(ValueError, match=option):
        Evaluate(**{option: value})


def test_the_seed_determines_the_samples(scores):
    model = tiny("wgan_gp", IMAGE)
    first, second, other = (
        scores(model, Digits(), Evaluate(num_samples=50, seed=seed)) for seed in (0, 0, 1)
    )
    assert first == second
    assert first != other


def test_the_same_weights_score_the_same_throughout_a_fit(logged_fit):
    # BEGAN's generator has no running statistics that would move without a learning rate.
    rows = logged_fit(tiny("began", IMAGE, generator_lr=0.0), max_steps=2)
    assert len(rows) == 3
    assert rows[0] == rows[1] == rows[2]


# Labels


@pytest.fixture
def uneven(digits):
    """A data module of 263 labelled digits, most of them ones, and a perfect model of them."""
    counts = [6, 182, 10, 9, 16, 10, 7, 7, 7, 9]
    _, labels = Digits().load("train")
    chosen = [(labels == c).nonzero().flatten()[:n] for c, n in enumerate(counts)]
    order = torch.randperm(sum(counts), generator=torch.Generator().manual_seed(0))
    x, y = (each[torch.cat(chosen)[order]] for each in (digits[1], labels))

    class Uneven(_Images):
        classes = 10

        def load(self, split):
            return x, y

    class Perfect(_Known):
        """Returns the real images of the class that is asked for in turn."""

        def generate(self, z, labels):
            own = [self.images[y == c] for c in range(10)]
            return torch.stack(
                [own[c][i % len(own[c])] for i, c in zip(z[:, 0], labels, strict=True)]
            )

    data, model = Uneven(x), Perfect(digits[0][torch.cat(chosen)[order]])
    data.conditional, model.num_classes = True, 10
    return data, model


def test_a_perfect_conditional_model_has_distance_zero_on_uneven_classes(uneven, scores):
    data, model = uneven
    assert abs(scores(model, data)["fd263_digits_cnn"]) < 1e-6


@pytest.mark.parametrize("metrics", ["fd,is", "is"])
@pytest.mark.parametrize("count", [100, 500])
def test_other_numbers_of_samples_have_the_proportions_of_the_classes(
    uneven, scores, metrics, count
):
    data, model = uneven
    drawn = []
    generate = model.generate
    model.generate = lambda z, y: drawn.append(y) or generate(z, y)
    scores(model, data, Evaluate(num_samples=count, metrics=metrics))
    shares = torch.cat(drawn).bincount(minlength=10) / count
    expected = torch.tensor([6, 182, 10, 9, 16, 10, 7, 7, 7, 9]) / 263
    assert (shares - expected).abs().max() < 1 / count


def test_labels_are_counted_where_features_are_cached_too(uneven, scores, tmp_path, extracted):
    data, model = uneven
    evaluate = {"cache_dir": str(tmp_path / "cache")}
    scores(tiny("wgan_gp", IMAGE), data, Evaluate(**evaluate))
    extracted.clear()
    assert abs(scores(model, data, Evaluate(**evaluate))["fd263_digits_cnn"]) < 1e-6
    assert sum(extracted) == 263  # the generated ones


def test_classes_without_real_samples_are_reported(make_trainer, digits, recwarn):
    loader = TensorLoader(digits[1][:100], torch.arange(100) % 4, 50)
    for num_classes in (4, 12):
        model = tiny("wgan_gp", IMAGE, num_classes=num_classes)
        make_trainer(Evaluate("digits_cnn")).validate(model, loader, verbose=False)
    (message,) = (str(w.message) for w in recwarn if "classes" in str(w.message))
    assert message.startswith("8 of 12 classes have no real samples (4, 5, 6, 7, 8, ...): ")


def test_real_samples_without_labels_are_reported(make_trainer, digits):
    loader = TensorLoader(digits[1][:100], None, 50)
    with pytest.warns(UserWarning, match="the real samples have no labels"):
        make_trainer(Evaluate("digits_cnn")).validate(
            tiny("wgan_gp", IMAGE, num_classes=3), loader, verbose=False
        )


# Side effects


def test_an_evaluation_does_not_change_any_random_state(scores):
    model = tiny("wgan_gp", IMAGE, num_classes=10)
    before = random_states()
    scores(model, Digits(conditional=True))
    assert [name for name, state in random_states().items() if state != before[name]] == []


@pytest.mark.parametrize("callbacks", [[], [Evaluate()]], ids=["no callback", "no evaluation"])
def test_evaluations_do_not_change_training(logged_fit, make_trainer, callbacks):
    def model():
        torch.manual_seed(0)
        return tiny("wgan_gp", IMAGE)

    evaluated, alone = model(), model()
    torch.manual_seed(5)
    logged_fit(evaluated, max_steps=2)
    torch.manual_seed(5)
    make_trainer(*callbacks, max_steps=2, limit_val_batches=0).fit(alone, Digits(batch_size=8))
    assert differences(state(alone), state(evaluated)) == []


def test_an_evaluation_leaves_the_networks_in_training_mode(scores):
    model = tiny("dcgan", IMAGE)
    scores(model, Digits(), Evaluate(num_samples=20))
    assert model.generator.training


def test_metrics_are_not_part_of_the_module_or_its_checkpoint(scores, make_trainer, tmp_path):
    model = tiny("wgan_gp", IMAGE)
    names = list(model.state_dict()), [name for name, _ in model.named_parameters()]
    trainer = make_trainer(Evaluate(), max_steps=1)
    trainer.fit(model, Digits(batch_size=8))
    assert (list(model.state_dict()), [name for name, _ in model.named_parameters()]) == names
    assert not any(isinstance(module, Metric) for module in model.modules())
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    checkpoint = torch.load(tmp_path / "one.ckpt", weights_only=True)
    assert list(checkpoint["state_dict"]) == names[0]


# When scores are computed, and on which data


def test_scores_are_named_after_the_extractor(scores):
    assert sorted(scores(tiny("wgan_gp", IMAGE), Digits())) == SCORES


def test_the_test_loop_scores_against_the_test_split(digits, make_trainer):
    floats, images = digits

    class Halves(_Images):
        def load(self, split):
            return (images[:900] if split == "train" else images[900:]), None

    trainer = make_trainer(Evaluate())
    trainer.test(_Known(floats[900:]), Halves(images), verbose=False)
    assert abs(trainer.callback_metrics["fd897_digits_cnn_test"]) < 1e-6


@pytest.mark.parametrize(
    ("model", "data"),
    [(tiny("wgan_gp", IMAGE), Digits), (tiny("wgan_gp"), Ring)],
    ids=["images", "vectors"],
)
def test_without_an_extractor_nothing_is_scored(scores, model, data):
    assert scores(model, data(), Evaluate("none")) == {}


def test_predicting_needs_no_extractor_weights(make_trainer):
    trainer = make_trainer(Evaluate("inception", weights="nowhere.pth"))
    drawn = trainer.predict(tiny("wgan_gp", IMAGE), Digits(predict_samples=3))
    assert [len(x) for x in drawn] == [3]


def test_a_complete_sanity_check_scores_the_untrained_generator(logged_fit, scores):
    torch.manual_seed(0)
    untrained = scores(tiny("wgan_gp", IMAGE), Digits(), Evaluate(cache_dir=None))
    torch.manual_seed(0)
    rows = logged_fit(tiny("wgan_gp", IMAGE), max_steps=2)
    assert list(rows) == [0, 1, 2]
    assert rows[0] == pytest.approx(untrained, rel=1e-6)


@pytest.mark.parametrize("sanity_batches", [-1, 0, 2])
def test_scores_during_a_fit_use_all_real_samples(logged_fit, scores, sanity_batches):
    model = tiny("wgan_gp", IMAGE)
    rows = logged_fit(model, max_steps=1, num_sanity_val_steps=sanity_batches)
    assert list(rows) == ([0, 1] if sanity_batches == -1 else [1])
    fresh = scores(model, Digits(batch_size=100), Evaluate(cache_dir=None))
    assert rows[1] == pytest.approx(fresh, rel=1e-6)


@pytest.mark.parametrize(("mode", "best"), [("min", min), ("max", max)])
def test_the_best_checkpoint_can_be_selected_by_score(logged_fit, tmp_path, mode, best):
    checkpoint = ModelCheckpoint(
        tmp_path / "checkpoints", "{step}", monitor="fd1797_digits_cnn", mode=mode
    )
    rows = logged_fit(
        tiny("wgan_gp", IMAGE, generator_lr=1e-2), checkpoint, enable_checkpointing=True
    )
    distances = {step: row["fd1797_digits_cnn"] for step, row in rows.items() if step > 0}
    step = best(distances, key=distances.get)
    assert checkpoint.best_model_score.item() == pytest.approx(distances[step])
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [f"step={step}.ckpt"]


# Names, metrics and counts


def test_selected_metrics_come_in_the_given_order(scores):
    model = tiny("wgan_gp", IMAGE)
    for metrics in ("kd, recall", ["kd", "recall"]):
        result = scores(model, Digits(), Evaluate(metrics=metrics, num_samples=300))
        assert list(result) == ["kd300_digits_cnn", "recall300_digits_cnn"]


@pytest.mark.parametrize("metrics", ["fid", "fd,nonsense", ""])
def test_unknown_metrics_stop_a_run_before_it_starts(make_trainer, metrics):
    trainer = make_trainer(Evaluate(metrics=metrics), max_steps=1)
    with pytest.raises(ArgumentError):
        trainer.fit(tiny("wgan_gp", IMAGE), Digits(batch_size=8))
    assert trainer.global_step == 0


@pytest.mark.parametrize(
    ("limit", "seen"),
    [({"limit_val_batches": 2}, 1024), ({"limit_val_batches": 1}, 512), ({"fast_dev_run": 1}, 512)],
)
def test_limited_validation_names_its_sample_count_and_caches_nothing(
    make_trainer, tmp_path, limit, seen
):
    model, cache = tiny("wgan_gp", IMAGE), tmp_path / "cache"
    evaluate = {"num_samples": 100, "cache_dir": str(cache)}
    trainer = make_trainer(Evaluate(**evaluate), **limit)
    (result,) = trainer.validate(model, Digits(), verbose=False)
    assert set(result) == {f"fd100_digits_cnn_train{seen}", "is100_digits_cnn", "step"}
    assert not cache.exists()
    # The cached features of all samples are not used for a limited loop.
    make_trainer(Evaluate(**evaluate)).validate(model, Digits(), verbose=False)
    assert cache.exists()
    trainer = make_trainer(Evaluate(**evaluate), **limit)
    assert trainer.validate(model, Digits(), verbose=False) == [result]


def test_a_custom_loader_is_not_confused_with_an_earlier_data_module(digits, make_trainer):
    floats, images = digits
    model, loader = _Known(floats), TensorLoader(images[:300], None, 100)
    evaluate = {"extractor": "digits_cnn", "num_samples": 100}
    (alone,) = make_trainer(Evaluate(**evaluate)).validate(model, loader, verbose=False)
    trainer = make_trainer(Evaluate(**evaluate))
    (whole,) = trainer.validate(model, Digits(), verbose=False)
    assert trainer.validate(model, loader, verbose=False) == [alone]
    assert "fd100_digits_cnn_val" in alone
    assert trainer.validate(model, Digits(), verbose=False) == [whole]


def test_a_data_module_with_a_custom_loader_is_scored_on_that_loader(digits, make_trainer):
    floats, images = digits

    class Cut(_Images):
        def val_dataloader(self):
            return TensorLoader(images[:200], None, 100)

    trainer = make_trainer(Evaluate(num_samples=100))
    trainer.validate(_Known(floats), _Images(images), verbose=False)
    (result,) = trainer.validate(_Known(floats), Cut(images), verbose=False)
    assert "fd100_digits_cnn_val" in result
    fresh = make_trainer(Evaluate(num_samples=100, cache_dir=None))
    assert fresh.validate(_Known(floats), Cut(images), verbose=False) == [result]


def test_metrics_without_real_samples_do_not_read_any(scores, extracted):
    result = scores(tiny("wgan_gp", IMAGE), Digits(), Evaluate(metrics="is", num_samples=100))
    assert list(result) == ["is100_digits_cnn"]
    assert sum(extracted) == 100


def test_recovery_from_divergence_is_logged(logged_fit):
    class Recovers(torch.nn.Module):
        """Outputs that are not finite from update 1 to 2."""

        def __init__(self, network):
            super().__init__()
            self.network, self.calls = network, 0

        def forward(self, z, y):
            x = self.network(z, y)
            if not self.training:
                self.calls += 1
            return x * math.nan if 8 < self.calls <= 24 and not self.training else x

    model = tiny("began", IMAGE)
    model.generator = Recovers(model.generator)
    with pytest.warns(UserWarning, match="diverged"):
        rows = logged_fit(model)
    # An evaluation calls the generator 8 times.
    assert [row.get("diverged") for row in rows.values()] == [None, 1, 1, 0, 0]


def test_scores_on_custom_loaders_are_named_val_and_test(digits, make_trainer):
    floats, images = digits
    loader = TensorLoader(images, None, 100)
    trainer, model = make_trainer(Evaluate("digits_cnn", num_samples=50)), _Known(floats)
    (result,) = trainer.validate(model, loader, verbose=False)
    assert set(result) == {"fd50_digits_cnn_val", "is50_digits_cnn", "step"}
    (result,) = trainer.test(model, loader, verbose=False)
    assert set(result) == {"fd50_digits_cnn_test", "is50_digits_cnn", "step"}


def test_scores_do_not_depend_on_the_batch_size(scores):
    model = tiny("wgan_gp", IMAGE, num_classes=10)
    options = {"metrics": ["fd", "is", "kd", "precision", "recall", "density", "coverage"]}
    data = Digits(conditional=True)
    one, other = (
        scores(model, data, Evaluate(**options, num_samples=300, batch_size=size))
        for size in (300, 7)
    )
    assert one == pytest.approx(other, rel=1e-6)


@pytest.mark.parametrize(
    ("shape", "device", "count"),
    [
        ((3, 32, 32), "cpu", 256),
        ((3, 64, 64), "cuda", 1024),
        ((3, 128, 128), "cuda", 256),  # which take four times the memory
        ((2,), "cuda", 1024),
    ],
)
def test_a_gpu_generates_more_small_samples_at_a_time(shape, device, count):
    assert generated_at_a_time(shape, torch.device(device)) == count


def test_a_distance_of_few_samples_warns(scores, recwarn):
    model = tiny("wgan_gp", IMAGE)
    with pytest.warns(UserWarning, match="fd64_digits_cnn: 64 images are too few"):
        scores(model, Digits(), Evaluate(num_samples=64))
    scores(model, Digits(), Evaluate(num_samples=65))
    scores(model, Digits(), Evaluate(num_samples=20, metrics="is"))
    assert not [warning for warning in recwarn if "too few" in str(warning.message)]


def test_too_few_samples_for_a_metric_are_rejected_before_training(make_trainer):
    trainer = make_trainer(Evaluate(num_samples=9), max_steps=1)
    with pytest.raises(TooFewSamplesError, match="is: at least 10 generated samples are needed"):
        trainer.fit(tiny("wgan_gp", IMAGE), Digits(batch_size=8))
    assert trainer.global_step == 0


@pytest.mark.slow
def test_grey_images_on_a_network_for_colour_images_are_reported(
    make_trainer, inception_file, caplog
):
    images = _Images(torch.randint(256, (20, *IMAGE), dtype=torch.uint8))
    trainer = make_trainer(Evaluate("inception", str(inception_file), num_samples=10))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the weights are not the published ones
        (result,) = trainer.validate(tiny("wgan_gp", IMAGE), images, verbose=False)
    assert set(result) == {"fid10_train", "is10", "step"}
    assert "inception takes colour images: grey ones are repeated" in caplog.text


# Cached features of real samples


@pytest.fixture
def extracted(monkeypatch):
    """The numbers of images whose features were computed, real and generated."""
    counts = []

    def counted(extractor, x):
        counts.append(len(x))
        return extract(extractor, x)

    monkeypatch.setattr("gan_lightning.callbacks.evaluate.extract", counted)
    return counts


def test_features_of_real_samples_are_computed_once_for_all_runs(scores, extracted, tmp_path):
    model, cache = tiny("wgan_gp", IMAGE), str(tmp_path / "cache")
    first = scores(model, Digits(), Evaluate(num_samples=100, cache_dir=cache))
    assert sum(extracted) == 1797 + 100
    second = scores(model, Digits(), Evaluate(num_samples=100, cache_dir=cache))
    assert sum(extracted) == 1797 + 200
    assert first == second
    assert scores(model, Digits(), Evaluate(num_samples=100, cache_dir=None)) == first
    assert sum(extracted) == 2 * 1797 + 300
    (path,) = (tmp_path / "cache").iterdir()
    assert path.name.startswith("Digits-train-digits_cnn-")


def test_neighbours_of_real_samples_are_found_once_for_all_runs(scores, tmp_path, monkeypatch):
    counts, cdist = [], torch.cdist
    monkeypatch.setattr(
        torch, "cdist", lambda x, y, **options: counts.append(len(y)) or cdist(x, y, **options)
    )
    model, cache = tiny("wgan_gp", IMAGE), str(tmp_path / "cache")
    found = [
        scores(model, Digits(), Evaluate(metrics="recall", num_samples=100, cache_dir=cache))
        for _ in range(2)
    ]
    assert counts.count(1797) == 1
    assert found[0] == found[1]


@pytest.mark.slow
def test_features_and_moments_are_cached_in_separate_files(scores, tmp_path):
    model, cache = tiny("wgan_gp", IMAGE), str(tmp_path / "cache")
    for metrics in ("fd", "fd,kd", "kd", "is"):
        evaluate = Evaluate(metrics=metrics, num_samples=100, cache_dir=cache)
        cached = [scores(model, Digits(), evaluate) for _ in range(2)]
        fresh = scores(model, Digits(), Evaluate(metrics=metrics, num_samples=100, cache_dir=None))
        assert cached == [pytest.approx(fresh, rel=1e-9)] * 2
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".features", ".moments"}


@pytest.fixture
def real_count(make_trainer, extracted, tmp_path):
    """``real_count(data)``: the number of real images whose features an evaluation computes."""

    def measure(data, command="validate", extractor="digits_cnn", weights=None):
        cache = str(tmp_path / "cache")
        evaluate = Evaluate(extractor, weights, num_samples=20, cache_dir=cache)
        getattr(make_trainer(evaluate), command)(tiny("wgan_gp", IMAGE), data, verbose=False)
        seen = sum(extracted) - 20
        extracted.clear()
        return seen

    return measure


def test_features_of_other_images_and_splits_are_computed_again(digits, real_count):
    _, images = digits
    changed = images[:300].clone()
    changed[7, 0, 3, 3] ^= 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert real_count(_Images(images[:300])) == 300
        assert real_count(_Images(images[:300])) == 0
        assert real_count(_Images(changed)) == 300
        assert real_count(_Images(images[:299])) == 299
        assert real_count(_Images(images[:300]), "test") == 300


@pytest.mark.slow
def test_features_from_other_weights_are_computed_again(digits, real_count, inception_file):
    _, images = digits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert real_count(_Images(images[:20])) == 20
        assert real_count(_Images(images[:20]), "validate", "inception", str(inception_file)) == 20
        assert real_count(_Images(images[:20]), "validate", "inception", str(inception_file)) == 0
        assert real_count(_Images(images[:20])) == 0


def test_a_damaged_cache_file_is_computed_again(scores, extracted, tmp_path):
    model, evaluate = tiny("wgan_gp", IMAGE), {"num_samples": 100, "cache_dir": str(tmp_path / "k")}
    first = scores(model, Digits(), Evaluate(**evaluate))
    (path,) = (tmp_path / "k").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.warns(UserWarning, match="is damaged: the features of real samples are computed"):
        assert scores(model, Digits(), Evaluate(**evaluate)) == first
    assert path.read_bytes() == whole


def test_an_unwritable_cache_does_not_prevent_scoring(scores, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="cannot be cached"):
        result = scores(
            tiny("wgan_gp", IMAGE), Digits(), Evaluate(cache_dir=str(tmp_path / "file"))
        )
    assert sorted(result) == SCORES


# Precision


@pytest.fixture
def reduced_precision():
    """``reduced_precision(api)`` enables TF32 through torch's old or new settings."""
    libraries = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    before = [library.fp32_precision for library in libraries]

    def reduce(api):
        if api == "old":
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.allow_tf32 = True
        else:
            for library in libraries:
                library.fp32_precision = "tf32"

    yield reduce
    torch.set_float32_matmul_precision("highest")
    for library, precision in zip(libraries, before, strict=True):
        library.fp32_precision = precision


@pytest.mark.parametrize("api", ["old", "new"])
def test_features_use_float32_whatever_training_uses(digits, monkeypatch, reduced_precision, api):
    floats, _ = digits
    extractor, seen = load_extractor("digits_cnn"), []
    forward = extractor.network.forward
    expected, _ = extract(extractor, floats[:5])

    def precisions():
        cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn.conv
        return torch.is_autocast_enabled("cpu"), cuda.fp32_precision, cudnn.fp32_precision

    def recording(images):
        seen.append(precisions())
        return forward(images)

    monkeypatch.setattr(extractor.network, "forward", recording)
    reduced_precision(api)
    with torch.autocast("cpu", torch.bfloat16):
        features, _ = extract(extractor, floats[:5])
        assert precisions() == (True, "tf32", "tf32")
    if api == "old":
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
    assert seen == [(False, "ieee", "ieee")]
    assert torch.equal(features, expected)
