"""Augmentation: each operation, and that critics are shown it and generators do not learn it."""

import pytest
import torch
from helpers import IMAGE, VECTOR, every_kind, fixed, samples, state, tiny, train

from gan_lightning.augment import OPERATIONS, DiffAugment, color, cutout, make_augment, translation
from gan_lightning.utils.errors import ArgumentError

SHAPES = [(1, 8, 8), (3, 8, 8), (1, 28, 28), (3, 9, 9)]


def images(shape, n=200, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_keep_the_shape_and_differ_from_sample_to_sample(name, shape):
    x = images(shape, 1).expand(50, -1, -1, -1)
    y = OPERATIONS[name](x)
    assert y.shape == x.shape
    assert len({tuple(each.flatten().tolist()) for each in y}) > 5


def test_color_changes_the_mean_and_the_contrast_within_its_bounds():
    x = images((3, 8, 8), 1).expand(2000, -1, -1, -1)
    y = color(x)
    shift = y.mean(dim=(1, 2, 3)) - x.mean(dim=(1, 2, 3))
    assert -0.5 <= shift.min() < -0.48
    assert 0.48 < shift.max() <= 0.5
    # What is grey has no saturation: its contrast alone is scaled.
    grey = images((1, 8, 8), 1).expand(2000, -1, -1, -1)
    scale = color(grey).std(dim=(1, 2, 3)) / grey.std(dim=(1, 2, 3))
    assert 0.5 <= scale.min() < 0.52
    assert 1.48 < scale.max() <= 1.5 + 1e-5


def test_saturation_scales_the_distance_to_grey():
    torch.manual_seed(0)
    x = images((3, 4, 4), 500)
    y = color(x)

    def saturation(z):
        return (z - z.mean(dim=1, keepdim=True)).flatten(1).norm(dim=1)

    ratio = saturation(y) / saturation(x)
    # U(0, 2) times a contrast of U(0.5, 1.5).
    assert 0 <= ratio.min() < 0.1
    assert 2 < ratio.max() < 3
    assert ratio.mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("size", "reach"), [(8, 1), (28, 4), (32, 4), (64, 8)])
def test_translation_shifts_by_up_to_an_eighth_and_fills_with_zeros(size, reach):
    x = torch.zeros(500, 1, size, size)
    middle = size // 2
    x[:, 0, middle, middle] = 1
    place = translation(x).flatten(1).argmax(dim=1)
    for shift in (place // size - middle, place % size - middle):
        assert sorted(set(shift.tolist())) == list(range(-reach, reach + 1))
    shifted = translation(torch.ones(500, 1, size, size))
    rows = (shifted.amax(dim=(1, 3)) == 0).sum(dim=1)
    assert sorted(set(rows.tolist())) == list(range(reach + 1))


@pytest.mark.parametrize("size", [8, 9, 28])
def test_cutout_hides_a_square_that_may_reach_over_the_edge(size):
    x = torch.ones(2000, 3, size, size)
    y = cutout(x)
    half = (size + 1) // 2
    hidden = (y[:, 0] == 0).flatten(1).sum(dim=1)
    assert hidden.max() == half**2
    least = half // 2 if half % 2 == 0 else half // 2 + 1
    assert hidden.min() == least**2
    assert torch.equal(y[:, 0], y[:, 2])
    assert set(y.unique().tolist()) == {0, 1}


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_of_both_orders_pass(name):
    x = images((3, 4, 4), 2).double().requires_grad_()

    def function(x):
        torch.manual_seed(1)
        return OPERATIONS[name](x).square()

    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


def test_a_policy_is_all_operations_or_some_in_their_order():
    assert make_augment("none") is None
    assert make_augment("diffaugment").operations == ("color", "translation", "cutout")
    assert make_augment("translation, cutout").operations == ("translation", "cutout")
    assert "translation, cutout" in repr(make_augment("translation,cutout"))
    for policy in ("diffaugmnet", "translation,", ""):
        with pytest.raises(ArgumentError, match="there is no augmentation"):
            make_augment(policy)
    with pytest.raises(ArgumentError, match="at least one operation"):
        DiffAugment(())


def test_points_are_not_augmented():
    with pytest.raises(ArgumentError, match="augment is for images"):
        tiny("dcgan", VECTOR, augment="diffaugment")


@every_kind
def test_the_critic_is_shown_augmented_samples_and_a_generator_makes_plain_ones(name):
    model = tiny(name, IMAGE, augment="cutout")
    shown = []
    model.critic.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0].detach()))
    x, _ = samples(IMAGE, 8)
    z = model.draw_latents(8)
    model.critic_objective(x, None, z)
    model.generator_objective(x, None, z)
    assert all((each == 0).flatten(1).any(dim=1).all() for each in shown)
    assert (model.sample(20) != 0).all()


@every_kind
def test_a_run_with_augmentation_resumes_exactly(name, tmp_path):
    def run(max_steps, ckpt_path=None):
        torch.manual_seed(0)
        model = tiny(name, IMAGE, augment="diffaugment")
        trainer = train(model, fixed(model.n_critic), max_steps, ckpt_path=ckpt_path)
        return model, trainer

    whole, _ = run(4)
    run(2)[1].save_checkpoint(tmp_path / "2.ckpt")
    resumed, _ = run(4, tmp_path / "2.ckpt")
    for key, value in state(whole).items():
        assert torch.equal(value, state(resumed)[key]), key


@pytest.mark.slow
@every_kind
def test_objectives_with_augmentation_compile_as_one_graph(name):
    torch._dynamo.reset()
    model = tiny(name, IMAGE, augment="diffaugment")
    x, _ = samples(IMAGE, 4)
    z = model.draw_latents(4)
    for objective in (model.critic_objective, model.generator_objective):
        compiled = torch.compile(objective, fullgraph=True, backend="aot_eager")
        loss, *_ = compiled(x, None, z)
        loss.backward()
        assert torch.isfinite(loss)


class Dark(torch.nn.Module):
    """Makes what the critic is shown darker by 1: the same for real and generated samples."""

    def forward(self, x):
        return x - 1


@pytest.mark.slow
def test_what_every_sample_passes_is_not_learned():
    """A generator whose critic is shown dark images alone learns to make bright ones."""
    torch.manual_seed(0)
    model = tiny("wgan_gp", IMAGE, critic_lr=1e-3, generator_lr=1e-3, generator_width=16)
    model.augmentation = Dark()
    x = 0.6 + 0.05 * torch.randn(400, *IMAGE).clamp(-3, 3)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), 80, shuffle=True)
    train(model, loader, max_steps=300)
    assert model.sample(200).mean().item() == pytest.approx(0.6, abs=0.15)
