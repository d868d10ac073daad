"""What a fit does around captured iterations, on a GPU; here each test simulates the captures.

The simulation computes an iteration again where a GPU would launch its graph. So a test that
fails on a GPU alone has found something of CUDA.
"""

import math

import pytest
import pytorch_lightning as pl
import torch
from helpers import CLASSES, IMAGE, SILENT, VECTOR, batches, fixed, given, samples, tiny, train

from gan_lightning import DCGAN, Trainer
from gan_lightning.callbacks import Evaluate
from gan_lightning.data import Digits
from gan_lightning.metrics import extract, load_extractor
from gan_lightning.networks.spectral import spectral_normalize
from gan_lightning.utils.errors import UserError

FAST = {"cuda_graph": True, "compile": True, "channels_last": True}


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def accelerator(request, monkeypatch):
    """A GPU that computes exactly, or a CPU that simulates captures."""
    if request.param == "cpu":
        request.getfixturevalue("as_if_captured")
    else:
        for name, value in (("allow_tf32", False), ("deterministic", True), ("benchmark", False)):
            monkeypatch.setattr(torch.backends.cudnn, name, value)
    return request.param


@pytest.fixture
def small():
    """``small(**options)``: a DCGAN for digits, always with the same weights."""

    def build(**options):
        torch.manual_seed(0)
        return DCGAN(IMAGE, generator_width=8, critic_width=8, latent_dim=4, **options)

    return build


def weights(model):
    return torch.cat([p.detach().cpu().flatten() for p in model.parameters()])


def distance(one, other):
    return float((weights(one) - weights(other)).norm() / weights(one).norm())


def scored_fit(model, folder, accelerator, **options):
    """The scores of a fit of digits with three evaluations, by their step, and its checkpoints."""
    evaluate = Evaluate(metrics="fd", num_samples=100, cache_dir=None)
    trainer = Trainer(
        accelerator=accelerator,
        devices=1,
        max_steps=12,
        val_check_interval=4,
        callbacks=[evaluate],
        default_root_dir=folder,
        enable_progress_bar=False,
        **options,
    )
    pl.seed_everything(1, verbose=False)
    trainer.fit(model, Digits(batch_size=16))
    (run,) = folder.glob("*/version_*")
    rows = (run / "metrics.csv").read_text().splitlines()
    step, fd = (rows[0].split(",").index(name) for name in ("step", "fd100_digits_cnn"))
    cells = [row.split(",") for row in rows[1:]]
    scores = {int(row[step]): float(row[fd]) for row in cells if row[fd]}
    return scores, sorted(path.name for path in (run / "checkpoints").glob("*.ckpt"))


def test_a_captured_fit_is_evaluated_and_saved_as_an_eager_one(accelerator, small, tmp_path):
    eager, captured = (
        scored_fit(small(cuda_graph=graph), tmp_path / str(graph), accelerator)
        for graph in (False, True)
    )
    assert list(eager[0]) == [0, 4, 8, 12]
    assert captured[0] == pytest.approx(eager[0], rel=1e-3)
    assert captured[1] == eager[1] != []


def test_a_captured_run_sees_the_labels_of_its_batches(accelerator):
    trained = []
    for graph in (False, True):
        torch.manual_seed(0)
        model = tiny("sngan", IMAGE, CLASSES, cuda_graph=graph)
        loader = batches(IMAGE, 4 * model.n_critic)
        train(model, loader, max_steps=12, accelerator=accelerator, devices=1)
        trained.append(model)
    assert distance(*trained) < 1e-3


def test_all_options_together_train_as_eager_float32_does(accelerator, small):
    """Up to bfloat16: as near as the same options at another seed are far."""
    runs = {}
    for name, seed, options, precision in (
        ("eager", 0, {}, "32-true"),
        ("all", 0, FAST | {"compile": accelerator == "gpu"}, "bf16-mixed"),
        ("another", 1, {}, "32-true"),
    ):
        model = small(**options)
        torch.manual_seed(seed)
        loader = fixed(model.n_critic)
        train(model, loader, max_steps=20, accelerator=accelerator, devices=1, precision=precision)
        runs[name] = model
    near, far = (distance(runs["eager"], runs[name]) for name in ("all", "another"))
    assert 0 < near < far


@pytest.mark.gpu
def test_a_captured_step_does_not_wait_for_the_gpu(monkeypatch):
    model = tiny("wgan_gp", IMAGE, cuda_graph=True, decay_steps=50, ema_decay=0.9)
    step, steps = type(model).training_step, []

    def watched(self, batch, batch_idx):
        # Libraries wait when kernels are chosen, and compiled or captured.
        torch.cuda.set_sync_debug_mode("error" if batch_idx > 6 else "default")
        try:
            step(self, batch, batch_idx)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        steps.append(batch_idx)

    monkeypatch.setattr(type(model), "training_step", watched)
    train(model, batches(IMAGE), max_steps=12, accelerator="gpu", devices=1)
    assert len(steps) == 12


@pytest.mark.gpu
def test_spectral_normalisation_is_in_float32_on_a_gpu():
    layer = spectral_normalize(torch.nn.Linear(50, 30)).cuda().eval()
    expected = layer.weight
    with torch.autocast("cuda", torch.bfloat16):
        assert torch.equal(layer.weight, expected)


def test_batches_from_the_host_and_on_the_device_train_alike(accelerator, small):
    trained = []
    for placement in ("device", "host"):
        model = small(cuda_graph=True)
        data = Digits(batch_size=16, placement=placement)
        torch.manual_seed(1)
        train(model, data, max_steps=8, accelerator=accelerator, devices=1)
        trained.append(weights(model))
    assert torch.equal(*trained)


def test_features_on_the_device_equal_those_on_a_cpu(accelerator):
    images = (samples(IMAGE, 64)[0].clamp(-1, 1) * 127.5 + 127.5).to(torch.uint8)
    found = []
    for device in ("cpu", "cuda" if accelerator == "gpu" else "cpu"):
        extractor = load_extractor("digits_cnn")
        extractor.network.to(device)
        features, logits = extract(extractor, images.to(device).float() / 127.5 - 1)
        found.append((features.cpu(), logits.cpu()))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_fit_after_one_that_failed_captures_anew(accelerator, small):
    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 6:
                raise UserError("stopped")

    with pytest.raises(UserError, match="stopped"):
        train(
            small(cuda_graph=True),
            fixed(1),
            max_steps=8,
            accelerator=accelerator,
            devices=1,
            callbacks=[Stop()],
        )
    trained = []
    for graph in (False, True):
        model = small(cuda_graph=graph)
        torch.manual_seed(1)
        train(model, fixed(1), max_steps=8, accelerator=accelerator, devices=1)
        trained.append(model)
    assert distance(*trained) < 1e-3


def test_a_second_critic_pass_in_bfloat16_sees_the_first_update(accelerator):
    """The scores before each update differ, as they would not with weights cast once."""
    scores = []

    class Keep(DCGAN):
        def after_critic_step(self, real, fake):
            scores.append(real.mean())

    torch.manual_seed(0)
    model = Keep(VECTOR, generator_width=8, critic_width=8, n_critic=2, critic_lr=0.1)
    x = samples(VECTOR, 16)[0].repeat(2, 1)
    trainer = pl.Trainer(
        max_steps=1, precision="bf16-mixed", **(SILENT | {"accelerator": accelerator, "devices": 1})
    )
    trainer.fit(model, given((x, None)))
    first, second = (float(score) for score in scores)
    assert not math.isclose(first, second, rel_tol=1e-3)
