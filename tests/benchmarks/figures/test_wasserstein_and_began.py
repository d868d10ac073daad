"""What the figures of WGAN and BEGAN compute."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from benchmarks.figures import began, began_collapse, command, wasserstein_curve
from benchmarks.figures.figure import read
from benchmarks.figures.samples import batches, pack_images, show_images
from gan_lightning import TECHNIQUES
from gan_lightning.losses import logistic_critic_loss
from gan_lightning.techniques.began import BEGAN
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.images import save_image

SHAPE = (1, 8, 8)


def small(**options):
    return BEGAN(SHAPE, latent_dim=4, generator_width=8, critic_width=4, **options)


def test_the_divergence_is_0_for_a_blind_critic_and_log_2_for_a_perfect_one():
    for score, expected in [(0.0, 0.0), (100.0, math.log(2))]:
        loss = logistic_critic_loss(torch.full((3,), score), torch.full((3,), -score))
        assert wasserstein_curve.estimate({"loss/critic": loss}) == pytest.approx(
            expected, abs=1e-6
        )
    terms = {"loss/critic": torch.tensor(-1.0), "wasserstein": torch.tensor(2.0)}
    assert wasserstein_curve.estimate(terms) == 2


def test_the_median_of_neighbours_drops_a_single_peak_and_keeps_a_slope():
    values = [0.0, 1, 2, 50, 4, 5, 6]
    assert wasserstein_curve.smooth(values, 3).tolist() == [0, 1, 2, 4, 5, 5, 6]


def test_ranks_are_correlated_only_where_a_run_trains():
    correlation = partial(wasserstein_curve.correlation, untrained=100)
    assert correlation([3.0, 2, 1], [90, 60, 40]) == 1
    assert correlation([1.0, 2, 3], [90, 60, 40]) == -1
    assert correlation([3.0, 2, 1], [90, 60, 51]) is None  # not less than half of 100
    assert correlation([2.0, 2, 2], [90, 60, 40]) is None
    assert correlation([2.0, 1], [90, 40]) is None


def test_the_generators_and_the_critic_are_those_that_the_figure_names():
    for network, width in wasserstein_curve.GENERATORS.values():
        for name, options in wasserstein_curve.TECHNIQUE_OPTIONS.items():
            model = TECHNIQUES[name](SHAPE, network=network, generator_width=width, **options)
            assert type(model.critic.features).__name__ == "DCGANFeatures"


def test_latents_of_generated_samples_are_found_and_stay_in_their_cube():
    model = small()
    z = model.draw_latents(3)
    target = model(z).detach()
    found, errors = began.invert(model, target, steps=80, lr=0.1)
    assert found.abs().max() <= 1
    start = (model(torch.zeros(3, 4)) - target).abs().flatten(1).mean(dim=1)
    assert (errors < 0.5 * start).all()


def test_a_run_is_summed_up_by_means_of_what_it_logged():
    assert began.means([1.0, 3, 5, 7, 9], 2) == [2, 6]
    x = torch.randint(256, (40, *SHAPE), dtype=torch.uint8)
    told = []
    run = began.follow(
        small(), x, 8, 4, batch_size=8, report=lambda step, diversity: told.append(step)
    )
    assert told == run["updates"] == [2, 4, 6, 8]
    assert run["window"] == 1
    logged = {name: np.array(values) for name, values in run["logged"].items()}
    assert {len(values) for values in logged.values()} == {8}
    # M = L(x) + |gamma L(x) - L(G)|.
    measure = logged["L(x)"] + abs(0.5 * logged["L(x)"] - logged["L(G)"])
    np.testing.assert_allclose(logged["M"], measure, rtol=1e-2)
    ratio = logged["L(G)"][-2:].mean() / logged["L(x)"][-2:].mean()
    assert run["equilibrium"]["L(G) / L(x)"] == pytest.approx(ratio, rel=1e-2)
    assert run["last samples"]["shape"] == [32, *SHAPE]


def test_batches_go_on_after_an_epoch():
    data = batches(torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, *SHAPE), 5)
    seen = [next(data) for _ in range(3)]
    assert len(torch.cat(seen[:2])[:, 0, 0, 0].unique()) == 10
    assert seen[2].shape == (5, *SHAPE)


def test_images_are_shown_in_rows_as_they_are():
    x = torch.linspace(-1, 1, 256)[torch.randint(256, (3, *SHAPE))]
    axes = Figure().subplots()
    show_images(axes, pack_images(x), 2)
    (image,) = axes.images
    grid = np.asarray(image.get_array())
    assert grid.shape == (17, 17)
    np.testing.assert_array_equal(grid[9:, :8], x[2, 0].add(1).mul(127.5).round())
    assert (grid[8] == 255).all()


def test_the_collapse_needs_a_folder_and_takes_its_images(tmp_path):
    with pytest.raises(SystemExit, match="began-collapse is skipped: it needs --data-dir"):
        command.main(["began-collapse", f"--output={tmp_path}"])
    settings = replace(began_collapse.FIGURE.tiny, stand_in=0)
    with pytest.raises(ArgumentError, match="needs --data-dir"):
        began_collapse.compute(settings, print)
    for i in range(5):
        save_image(torch.full((3, 20, 20), 40 * i, dtype=torch.uint8), tmp_path / f"{i}.png")
    x = began_collapse.load(settings, tmp_path)
    assert x.shape == (5, 3, 16, 16)
    assert x[:, 0, 0, 0].sort().values.tolist() == [0, 40, 80, 120, 160]


def committed(figure):
    return read(figure, figure.json_path(command.FOLDER))["numbers"]


def cell(run):
    """What the page writes of a run."""
    last = f"{run['distances'][-1]:,.0f}"
    if not run["trains"]:
        return f"does not train, {last}"
    whole, late = run["rank correlation"], run["rank correlation from the peak on"]
    return f"{whole:+.2f}, {late:+.2f}, {last}"


def test_the_committed_estimates_follow_the_distance_as_the_pages_say():
    page = (command.FOLDER.parent / "figures.md").read_text()
    runs = committed(wasserstein_curve.FIGURE)["runs"]
    found = {(run["technique"], run["generator"]): run for run in runs}
    for generator in wasserstein_curve.GENERATORS:
        row = " | ".join(
            cell(found[name, generator]) for name in wasserstein_curve.TECHNIQUE_OPTIONS
        )
        assert f"| {generator} | {row} |" in page
    assert not found["wgan", "without normalisation"]["trains"]
    for key in (
        ("wgan", "DCGAN's generator"),
        ("wgan_gp", "DCGAN's generator"),
        ("wgan_gp", "without normalisation"),
    ):
        assert found[key]["rank correlation"] > 0.95
    for generator in ("without normalisation", "a perceptron"):
        assert found["dcgan", generator]["rank correlation"] < 0


def test_the_committed_balance_is_within_two_hundredths_of_gamma():
    for run in committed(began.FIGURE)["runs"]:
        assert run["equilibrium"]["L(G) / L(x)"] == pytest.approx(run["gamma"], abs=0.02)
