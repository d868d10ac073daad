"""ADA: its operations, and the probability that follows the critic."""

import math

import pytest
import torch
from helpers import IMAGE, VECTOR, differences, fixed, samples, state, tiny, train

from gan_lightning.augment import ADA, make_augment
from gan_lightning.augment.ada import _reflected
from gan_lightning.utils.errors import ArgumentError


def always(monkeypatch, *operations):
    """An ADA that applies these operations to all samples, and no other to any."""
    ada = ADA()
    calls = []
    order = ["shift_rows", "shift_columns", "turn", "mirror", "brightness", "contrast"]
    order += ["luma", "hue", "saturation"]

    def chosen(x, share=1.0):
        calls.append(order[len(calls) % len(order)])
        return torch.full((len(x),), calls[-1] in operations)

    monkeypatch.setattr(ada, "_chosen", chosen)
    return ada


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_nothing_changes_at_probability_0_and_all_at_1(channels):
    ada = ADA()
    x = noise(50, channels, 8, 8)
    torch.testing.assert_close(ada(x), x, rtol=0, atol=1e-6)
    ada.p.fill_(1)
    y = ada(x)
    assert y.shape == x.shape
    assert (y != x).flatten(1).any(dim=1).all()


def test_images_are_mirrored_half_of_the_time_that_they_may_be():
    ada = ADA()
    x = torch.arange(4.0).expand(20_000, 1, 1, 4)  # not square: it is not turned
    ada.p.fill_(0.3)
    moved = ada._move(x)[:, 0, 0]
    # A shift of half a pixel at most is none.
    mirrored = (moved == torch.arange(3.0, -1, -1)).all(dim=1).float().mean()
    assert mirrored.item() == pytest.approx(0.15, abs=0.01)


def test_turns_are_by_quarters_and_shifts_reflect_what_comes_in(monkeypatch):
    x = noise(1, 2, 8, 8).expand(200, -1, -1, -1)
    turned = always(monkeypatch, "turn")(x)
    expected = [torch.rot90(x[0], k, (1, 2)) for k in range(4)]
    found = [next(k for k in range(4) if torch.allclose(y, expected[k], atol=1e-6)) for y in turned]
    assert set(found) == {0, 1, 2, 3}
    assert all(30 < found.count(k) < 70 for k in range(4))
    mirrored = always(monkeypatch, "mirror")(x)
    assert all(
        torch.allclose(y, x[0], atol=1e-6) or torch.allclose(y, x[0].flip(2), atol=1e-6)
        for y in mirrored
    )
    shifted = always(monkeypatch, "shift_rows")(x)
    padded = torch.nn.functional.pad(x[:1], (0, 0, 1, 1), mode="reflect")[0]
    options = [padded[:, start : start + 8] for start in range(3)]
    found = [next(k for k in range(3) if torch.allclose(y, options[k], atol=1e-6)) for y in shifted]
    assert set(found) == {0, 1, 2}


@pytest.mark.parametrize(("size", "reach"), [(8, 1), (28, 3), (32, 4)])
def test_shifts_reach_an_eighth_of_the_size(size, reach, monkeypatch):
    ada = always(monkeypatch, "shift_rows")
    x = torch.zeros(3000, 1, size, size)
    middle = size // 2
    x[:, 0, middle] = torch.arange(1.0, size + 1)
    rows = ada(x).sum(dim=3).argmax(dim=2).flatten() - middle
    assert sorted(set(rows.tolist())) == list(range(-reach, reach + 1))


def test_places_are_reflected_at_the_edge_pixels():
    places = _reflected(torch.arange(-2, 7), 5)
    assert places.tolist() == [2, 1, 0, 1, 2, 3, 4, 3, 2]


def parts(x):
    grey = x.mean(dim=1, keepdim=True)
    return grey, (x - grey)


def test_colours_change_as_the_paper_says(monkeypatch):
    x = noise(4000, 3, 4, 4)
    grey, rest = parts(x)
    shift = (always(monkeypatch, "brightness")(x) - x)[:, 0, 0, 0]
    assert shift.mean().item() == pytest.approx(0, abs=0.02)
    assert shift.std().item() == pytest.approx(0.2, abs=0.01)
    factor = (always(monkeypatch, "contrast")(x) / x)[:, 0, 0, 0].log2()
    assert factor.std().item() == pytest.approx(0.5, abs=0.02)
    new_grey, new_rest = parts(always(monkeypatch, "luma")(x))
    torch.testing.assert_close(new_rest, rest, rtol=0, atol=1e-5)
    flipped = (new_grey * grey).sum(dim=(1, 2, 3)) < 0
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(new_grey.abs(), grey.abs(), rtol=0, atol=1e-5)
    new_grey, new_rest = parts(always(monkeypatch, "saturation")(x))
    torch.testing.assert_close(new_grey, grey, rtol=0, atol=1e-5)
    factor = (new_rest.flatten(1).norm(dim=1) / rest.flatten(1).norm(dim=1)).log2()
    assert factor.std().item() == pytest.approx(1, abs=0.05)


def test_hue_turns_colours_around_grey_by_any_angle(monkeypatch):
    x = noise(4000, 3, 4, 4)
    grey, rest = parts(x)
    new_grey, new_rest = parts(always(monkeypatch, "hue")(x))
    torch.testing.assert_close(new_grey, grey, rtol=0, atol=1e-5)
    lengths = rest.norm(dim=1), new_rest.norm(dim=1)
    torch.testing.assert_close(*lengths, rtol=1e-4, atol=1e-5)
    cosine = (rest * new_rest).sum(dim=1) / (lengths[0] * lengths[1])
    # The same angle for all pixels of an image, uniform from image to image.
    angle = cosine.clamp(-1, 1).acos().flatten(1)
    assert (angle.max(dim=1).values - angle.min(dim=1).values).median() < 1e-2
    assert angle[:, 0].mean().item() == pytest.approx(math.pi / 2, abs=0.05)
    # A third of a turn exchanges the primary colours.
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.full((1,), 0.5 + 1 / 6 * 2))
    turned = always(monkeypatch, "hue")(red * 1.0)
    assert {round(value, 4) for value in turned.flatten().tolist()} == {0.0, 1.0}
    assert turned[0, 0].item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 4, 4), (4, 4, 4)])
def test_gradients_of_both_orders_pass(shape):
    ada = ADA().double()
    ada.p.fill_(0.7)
    x = noise(2, *shape).double().requires_grad_()

    def function(x):
        torch.manual_seed(1)
        return ada(x).square()

    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


# The probability.


def test_a_critic_that_is_sure_of_all_real_samples_raises_p_to_1_in_500_000():
    ada = ADA()
    batch = torch.ones(100)
    for _ in range(500_000 // 100 - 1):
        ada.adapt(batch)
    assert ada.p.item() == pytest.approx(1 - 400 / 500_000, abs=1e-4)
    ada.adapt(batch)
    assert ada.p.item() == pytest.approx(1, abs=1e-4)
    for _ in range(40):
        ada.adapt(batch)
    assert ada.p.item() == 1


def test_p_follows_the_mean_sign_of_an_interval_and_stays_from_0_on():
    ada = ADA(images=800)
    ones, mixed = torch.ones(10), torch.tensor([1.0] * 7 + [-1.0] * 3)
    for _ in range(3):
        ada.adapt(ones)
    assert ada.p.item() == 0
    ada.adapt(ones)
    assert ada.p.item() == pytest.approx(0.05)
    # 3 of 4 updates with a mean of 0.4, and one of 1: 0.55 is below the target of 0.6.
    for batch in (mixed, mixed, mixed, ones):
        ada.adapt(batch)
    assert ada.p.item() == 0
    for _ in range(8):
        ada.adapt(-ones)
    assert ada.p.item() == 0


# In training.


def test_p_is_logged_and_resumed(tmp_path):
    def run(max_steps, ckpt_path=None):
        torch.manual_seed(0)
        model = tiny("sngan", IMAGE, augment="ada")
        # So that p rises within a few updates.
        model.augmentation.images, model.augmentation.target = 100, -1
        trainer = train(model, fixed(model.n_critic), max_steps, ckpt_path=ckpt_path)
        return model, trainer

    whole, _ = run(4)
    run(2)[1].save_checkpoint(tmp_path / "2.ckpt")
    resumed, _ = run(4, tmp_path / "2.ckpt")
    assert differences(state(whole), state(resumed)) == []
    assert whole.augmentation.p.item() > 0
    assert whole.augmentation.updates.item() == 4 * whole.n_critic % 4
    terms = resumed.iteration(*(samples(IMAGE, 20)[0], None), resumed.kind(4))
    assert terms["augment/p"] is resumed.augmentation.p


@pytest.mark.parametrize(
    ("name", "options"),
    [("wgan_gp", {}), ("began", {}), ("sngan", {"relativistic": "pairs"})],
)
def test_scores_without_a_sign_are_refused(name, options):
    with pytest.raises(ArgumentError, match="takes diffaugment"):
        tiny(name, IMAGE, augment="ada", **options)


def test_points_are_refused():
    with pytest.raises(ArgumentError, match="augment is for images"):
        tiny("sngan", VECTOR, augment="ada")


def test_it_is_chosen_by_name():
    assert isinstance(make_augment("ada"), ADA)
    assert "target=0.6, images=500000, interval=4" in repr(make_augment("ada"))


@pytest.mark.slow
def test_objectives_with_it_compile_as_one_graph():
    torch._dynamo.reset()
    model = tiny("sngan", IMAGE, augment="ada", network="dcgan")
    model.augmentation.p.fill_(0.5)
    x, _ = samples(IMAGE, 4)
    z = model.draw_latents(4)
    start = state(model)
    for objective in (model.critic_objective, model.generator_objective):
        losses = []
        for function in (objective, torch.compile(objective, fullgraph=True, backend="aot_eager")):
            model.load_state_dict(start)
            torch.manual_seed(0)
            losses.append(function(x, None, z)[0].item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
