"""Sampling in eval mode, from given or drawn latents, and from exported programs."""

import copy
import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from helpers import (
    CASES,
    CLASSES,
    IMAGE,
    VECTOR,
    batches,
    differences,
    every_case_of_a_kind,
    every_conditional,
    every_kind,
    slow_but,
    state,
    tiny,
    train,
)

from gan_lightning import DCGAN, load, sampling

onnxruntime = pytest.importorskip("onnxruntime", reason="NOT TESTED: onnxruntime is not installed")

each_case = pytest.mark.parametrize(
    ("name", "shape", "num_classes"), slow_but(["dcgan", "began"], CASES)
)


def spread(module):
    """Make the networks' outputs large."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=10)
    return module


@every_case_of_a_kind
def test_samples_have_the_shape_of_the_model_and_no_gradient(name, shape, num_classes):
    x = tiny(name, shape, num_classes).sample(5)
    assert x.shape == (5, *shape)
    assert x.dtype == torch.float32
    assert not x.requires_grad
    assert len(x.flatten(1).unique(dim=0)) == 5


@every_kind
def test_images_are_in_range_and_vectors_are_unbounded(name):
    assert spread(tiny(name, IMAGE)).sample(16).abs().max() == 1
    assert spread(tiny(name, VECTOR)).sample(16).abs().max() > 1


@pytest.mark.parametrize("ema_decay", [0, 0.5], ids=["without EMA", "with EMA"])
@pytest.mark.parametrize("training", [True, False])
@every_kind
def test_sampling_uses_eval_mode_and_restores_the_mode(name, training, ema_decay):
    model = tiny(name, IMAGE, ema_decay=ema_decay).train(training)
    drawing = model.generator_ema if ema_decay else model.generator
    modes = []
    drawing.register_forward_hook(lambda module, *_: modes.append(module.training))
    before = state(model)
    model.sample(4)
    assert modes == [False]
    assert drawing.training is training
    assert not differences(before, state(model))


@every_conditional
def test_the_mode_is_restored_after_an_error(name):
    model = tiny(name, num_classes=CLASSES)
    with pytest.raises(RuntimeError):
        model.generate(torch.randn(1, model.latent_dim + 1), torch.tensor([0]))
    assert model.generator.training


@every_conditional
@pytest.mark.parametrize("label", [-1, CLASSES])
def test_a_label_out_of_range_is_refused(name, label):
    model = tiny(name, num_classes=CLASSES)
    with pytest.raises(ValueError, match=f"labels must be from 0 to {CLASSES - 1}, got"):
        model.sample(2, torch.tensor([0, label]))


@every_kind
def test_samples_are_drawn_from_the_averaged_generator(name):
    model = tiny(name, ema_decay=0.5)
    spread(model.generator_ema)
    torch.manual_seed(1)
    drawn = model.sample(4)
    torch.manual_seed(1)
    assert torch.equal(drawn, model.generator_ema.eval()(model.draw_latents(4)))


@every_conditional
def test_given_labels_are_used(name):
    model = spread(tiny(name, num_classes=CLASSES))
    y = torch.tensor([2, 0, 1])
    torch.manual_seed(1)
    drawn = model.sample(3, y)
    torch.manual_seed(1)
    expected = model.sampled.eval()(model.draw_latents(3), y)
    assert torch.equal(drawn, expected)


@every_conditional
def test_labels_are_drawn_uniformly_if_none_are_given(name):
    model = tiny(name, num_classes=CLASSES)
    seen = []
    model.sampled.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    model.sample(300)
    assert len(seen[0]) == 300
    # Within five standard deviations of 100.
    assert all(60 < n < 140 for n in torch.bincount(seen[0], minlength=CLASSES))
    assert seen[0].max() < CLASSES


@every_kind
def test_predict_draws_the_given_numbers_of_samples(name):
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    drawn = trainer.predict(tiny(name), [4, 1])
    assert [x.shape for x in drawn] == [(4, *VECTOR), (1, *VECTOR)]


@every_case_of_a_kind
def test_calling_the_module_tracks_gradients_and_generate_does_not(name, shape, num_classes):
    model = tiny(name, shape, num_classes, ema_decay=0.5)
    z, y = model.draw_inputs(3)
    before = state(model)
    x = model(z.requires_grad_(), y)
    x.square().sum().backward()
    assert z.grad.abs().sum() > 0
    generated = model.generate(z, y)
    assert torch.equal(generated, x)
    assert not generated.requires_grad
    assert not differences(before, state(model))
    if not num_classes:
        assert torch.equal(model.generate(z), x)


def test_sampling_restores_the_mode_of_each_submodule():
    model = tiny("dcgan", IMAGE).eval()
    (norm, *_) = (m for m in model.generator.modules() if isinstance(m, torch.nn.BatchNorm2d))
    norm.train()
    before = state(model)
    model.sample(4)
    assert norm.training
    assert not model.generator.training
    assert not differences(before, state(model))


@every_case_of_a_kind
def test_a_random_generator_determines_the_samples(name, shape, num_classes):
    model = tiny(name, shape, num_classes)

    def draw(seed):
        return model.sample(4, generator=torch.Generator().manual_seed(seed))

    torch.manual_seed(0)
    first, before = draw(1), torch.get_rng_state()
    assert torch.equal(draw(1), first)
    assert not torch.equal(draw(2), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_custom_latents_that_take_no_generator_raise():
    class Own(DCGAN):
        def draw_latents(self, n):
            return torch.zeros(n, self.latent_dim)

    model = Own(VECTOR, generator_width=4, critic_width=4)
    assert len(model.sample(2).unique(dim=0)) == 1
    with pytest.raises(ValueError, match=r"Own.draw_latents takes no generator"):
        model.sample(2, generator=torch.Generator())


@every_conditional
def test_given_latents_are_used(name):
    model = spread(tiny(name, num_classes=CLASSES))
    z, y = model.draw_inputs(3)
    assert torch.equal(model.sample(z=z, y=y), model.generate(z, y))
    assert torch.equal(model.sample(3, y, z=z), model.generate(z, y))
    assert len(model.sample(y=y)) == 3


@pytest.mark.parametrize("given", [(), ("n", "z"), ("z", "y")])
def test_inconsistent_numbers_of_samples_are_refused(given):
    model = tiny("dcgan", num_classes=CLASSES)
    values = {"n": 5, "z": torch.zeros(3, model.latent_dim), "y": torch.tensor([0, 1])}
    with pytest.raises(ValueError, match="n, y and z must give one number of samples"):
        model.sample(**{name: values[name] for name in given})


def test_truncation_draws_again_what_is_beyond_the_threshold(monkeypatch):
    model = tiny("wgan_gp", latent_dim=200)
    seen = []
    monkeypatch.setattr(model, "generate", lambda z, y=None: seen.append(z) or z)
    z = model.draw_latents(1000)
    model.sample(z=z, truncation=0.5)
    (drawn,) = seen
    assert drawn.abs().max() <= 0.5
    within = z.abs() <= 0.5
    assert torch.equal(drawn[within], z[within])
    # A normal variable that is cut off at +-t has the variance 1 - 2 t phi(t) / (2 Phi(t) - 1).
    # Scaling by 0.5 would give 0.25.
    normal, t = torch.distributions.Normal(0.0, 1.0), torch.tensor(0.5)
    expected = 1 - 2 * t * normal.log_prob(t).exp() / (2 * normal.cdf(t) - 1)
    assert drawn.var().item() == pytest.approx(expected.item(), rel=0.02)
    assert expected.item() == pytest.approx(0.0806, abs=1e-4)


def test_truncated_samples_repeat_with_a_generator():
    model = spread(tiny("dcgan"))
    first, second = (
        model.sample(4, truncation=0.3, generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize("truncation", [0.0, -1.0, math.nan])
def test_a_truncation_that_nothing_passes_is_refused(truncation):
    with pytest.raises(ValueError, match=f"truncation must be positive, got {truncation}"):
        tiny("dcgan").sample(4, truncation=truncation)


def test_a_truncation_that_hardly_anything_passes_is_refused(monkeypatch):
    monkeypatch.setattr(sampling, "MAX_DRAWS", 3)
    with pytest.raises(ValueError, match="truncation 1e-09 is too small"):
        tiny("dcgan").sample(4, truncation=1e-9)


@every_kind
def test_a_loaded_module_is_in_eval_mode_and_trains_again(name, tmp_path):
    trainer = train(tiny(name, IMAGE), batches(IMAGE), max_steps=2)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    model = load(tmp_path / "last.ckpt")
    assert not any(module.training for module in model.modules())
    modes = []
    model.generator.register_forward_hook(lambda module, *_: modes.append(module.training))
    train(model, batches(IMAGE), max_steps=1)
    assert modes
    assert all(modes)


@pytest.fixture
def exported():
    """A module in eval mode, inputs to trace it, and inputs with another number of samples."""

    def make(name, shape, num_classes):
        model = tiny(name, shape, num_classes, ema_decay=0.5).eval()
        model.generator_ema.load_state_dict(copy.deepcopy(model.generator.state_dict()))
        inputs, others = (
            tuple(each for each in model.draw_inputs(n) if each is not None) for n in (2, 5)
        )
        shapes = ({0: torch.export.Dim("samples")},) * len(inputs)
        return model, inputs, others, shapes

    return make


@each_case
def test_an_exported_program_draws_the_same_samples(exported, name, shape, num_classes, tmp_path):
    model, inputs, others, shapes = exported(name, shape, num_classes)
    program = torch.export.export(model, inputs, dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "model.pt2")
    read = torch.export.load(tmp_path / "model.pt2").module()
    torch.testing.assert_close(read(*others), model.generate(*others))


@pytest.mark.slow
@each_case
def test_an_onnx_file_draws_the_same_samples(exported, name, shape, num_classes, tmp_path, capfd):
    model, inputs, others, shapes = exported(name, shape, num_classes)
    names = ["z", "y"][: len(inputs)]
    model.to_onnx(
        tmp_path / "model.onnx", inputs, dynamo=True, dynamic_shapes=shapes, input_names=names
    )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (x,) = session.run(None, {n: each.numpy() for n, each in zip(names, others, strict=True)})
    assert x.dtype == np.float32
    torch.testing.assert_close(torch.from_numpy(x), model.generate(*others), rtol=1e-4, atol=1e-5)
