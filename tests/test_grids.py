"""Grids, plots and films of samples, from Python; ``tests/cli/test_grid.py`` has the command."""

import io
import math

import pytest
import torch
from helpers import CLASSES, IMAGE, VECTOR, tiny
from PIL import Image

from gan_lightning.grids import (
    Film,
    Grid,
    Plot,
    between_grid,
    class_grid,
    class_plot,
    fills_a_box,
    interpolate,
    training_film,
    truncation_plot,
    walk_grid,
    walk_plot,
)
from gan_lightning.utils.errors import ArgumentError, MissingFileError, WrongFileError
from gan_lightning.utils.pictures import TEXT


def seeded():
    return torch.Generator().manual_seed(0)


def rows_of(grid):
    return grid.images.unflatten(0, (-1, grid.columns))


def frames_of(content):
    with Image.open(io.BytesIO(content)) as film:
        return film.format, getattr(film, "n_frames", 1)


# Walks.


@pytest.mark.parametrize(
    ("name", "box"),
    [("dcgan", True), ("feature_matching", True), ("began", True), ("wgan_gp", False)],
)
def test_latents_that_fill_a_box_are_told_from_normal_ones(name, box):
    model = tiny(name)
    before = torch.get_rng_state()
    assert fills_a_box(model) == box
    assert torch.equal(torch.get_rng_state(), before)


def test_a_spherical_path_keeps_the_norm_and_turns_evenly():
    start, end = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    share = torch.linspace(0, 1, 7)
    path = interpolate(start.expand(7, -1), end.expand(7, -1), share, spherical=True)
    angles = torch.atan2(path[:, 1], path[:, 0])
    torch.testing.assert_close(path.norm(dim=1), torch.full((7,), 3.0))
    torch.testing.assert_close(angles, share * math.pi / 2)
    straight = interpolate(start.expand(7, -1), end.expand(7, -1), share, spherical=False)
    torch.testing.assert_close(straight.sum(dim=1), torch.full((7,), 3.0))


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0])
def test_a_path_along_a_line_through_0_is_straight(factor):
    start = torch.tensor([[1.0, 2.0]])
    half = interpolate(start, factor * start, torch.tensor([0.5]), spherical=True)
    torch.testing.assert_close(half, start * (1 + factor) / 2)


@pytest.mark.parametrize("name", ["dcgan", "wgan_gp", "stylegan2"])
def test_a_walk_passes_its_stops(name):
    model = tiny(name, IMAGE, CLASSES)
    rows = rows_of(walk_grid(model, 2, 5, stops=3, generator=seeded()))
    assert rows.shape == (2, 5, *IMAGE)
    z, y = model.draw_inputs(6, generator=seeded())
    labels = y[::3].repeat_interleave(3)
    stops = model.sample(z=z, y=labels).unflatten(0, (2, 3))
    torch.testing.assert_close(rows[:, ::2], stops)


def test_steps_of_a_walk_keep_to_the_space_of_latents():
    seen = []

    def walk(name):
        model = tiny(name, IMAGE, latent_dim=64)
        model.generate = lambda z, y: (seen.append(z), torch.zeros(len(z), *IMAGE))[1]
        walk_grid(model, 1, 5, generator=seeded())
        return seen.pop()

    normal, uniform = walk("wgan_gp"), walk("dcgan")
    assert normal.norm(dim=1).min() > 0.9 * normal[[0, -1]].norm(dim=1).min()
    torch.testing.assert_close(uniform[2], (uniform[0] + uniform[4]) / 2)


def test_a_closed_walk_comes_back_and_does_not_stop_twice():
    model = tiny("wgan_gp", IMAGE)
    open_walk = rows_of(walk_grid(model, 1, 3, stops=3, generator=seeded()))
    closed = rows_of(walk_grid(model, 1, 6, stops=3, closed=True, generator=seeded()))
    torch.testing.assert_close(closed[:, [0, 2, 4]], open_walk)
    film = Grid(closed[0], 6).film()
    assert len(film.frames) == 6


def test_a_walk_in_w_is_straight_in_styles():
    model = tiny("stylegan2", IMAGE)
    model.generator.w_avg.normal_()
    rows = rows_of(walk_grid(model, 1, 3, truncation=0.5, generator=seeded()))
    styles = model.styles(model.draw_inputs(2, generator=seeded())[0], psi=0.5)
    torch.testing.assert_close(rows[0, 1:2], model.synthesize(styles.mean(dim=0, keepdim=True)))
    in_z = rows_of(walk_grid(model, 1, 3, space="z", truncation=0.5, generator=seeded()))
    torch.testing.assert_close(in_z[:, ::2], rows[:, ::2])
    assert not torch.allclose(in_z[:, 1], rows[:, 1])


def test_the_way_between_given_latents():
    model = tiny("wgan_gp", IMAGE)
    z = torch.randn(2, 4)
    rows = rows_of(between_grid(model, z, 4))
    torch.testing.assert_close(rows[0, [0, -1]], model.sample(z=z))


def test_what_a_walk_does_not_take_is_refused():
    with pytest.raises(ArgumentError, match=r"has no styles: .* the space w"):
        walk_grid(tiny("dcgan", IMAGE), space="w")
    with pytest.raises(ValueError, match="there is no space 'x'"):
        walk_grid(tiny("dcgan", IMAGE), space="x")
    with pytest.raises(ValueError, match="columns must be at least 2"):
        walk_grid(tiny("dcgan", IMAGE), columns=1)
    with pytest.raises(ArgumentError, match="a grid is of images"):
        walk_grid(tiny("dcgan", VECTOR))
    with pytest.raises(ArgumentError, match="a plot is of vectors"):
        walk_plot(tiny("dcgan", IMAGE))


# Classes.


def test_a_column_of_a_class_grid_has_one_latent_and_a_row_one_class():
    model = tiny("wgan_gp", IMAGE, CLASSES)
    grid = class_grid(model, 2, [2, 0], seeded(), names=["cat", "dog", "eel"])
    assert grid.row_names == ["eel", "cat"]
    z, _ = model.draw_inputs(2, generator=seeded())
    for row, label in zip(rows_of(grid), (2, 0), strict=True):
        torch.testing.assert_close(row, model.sample(z=z, y=torch.full((2,), label)))
    assert class_grid(model).row_names == ["0", "1", "2"]


def test_classes_that_do_not_exist_are_refused():
    with pytest.raises(ArgumentError, match="this DCGAN has no classes: it was trained without"):
        class_grid(tiny("dcgan", IMAGE))
    with pytest.raises(ArgumentError, match="there is no class 3: they are from 0 to 2"):
        class_grid(tiny("dcgan", IMAGE, CLASSES), classes=[0, 3])


# Plots.


def test_plots_have_a_group_for_each_class_truncation_or_walk():
    model = tiny("wgan_gp", VECTOR, CLASSES)
    classes = class_plot(model, generator=seeded())
    assert list(classes.groups) == ["0", "1", "2"]
    truncations = truncation_plot(model, [0.5, 2.0], seeded())
    assert list(truncations.groups) == ["±2", "±0.5"]
    walks = walk_plot(model, 2, 10, y=torch.tensor([0, 2]), generator=seeded())
    assert [part.shape for part in walks.groups.values()] == [(10, 2), (10, 2)]
    for plot in (classes, truncations, walks):
        colours = plot.picture().getcolors(1_000_000)
        assert len(colours) > 20


@pytest.mark.parametrize("dimensions", [1, 5])
def test_vectors_of_other_lengths_are_drawn_in_the_plane_too(dimensions):
    picture = Plot({"samples": torch.randn(50, dimensions)}).picture()
    assert len(picture.getcolors(1_000_000)) > 5


# Pictures and films.


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_a_grid_enlarges_small_images_without_loss(channels):
    x = torch.full((6, channels, 8, 8), 1.0)
    x[0, : 1 if channels == 2 else 3] = -1  # black, and not transparent
    picture = Grid(x, 3).picture()
    assert picture.size == (3 * 66 + 2, 2 * 66 + 2)
    assert picture.convert("L").getpixel((30, 30)) == 0
    assert picture.convert("L").getpixel((100, 30)) == 255


def test_names_stand_beside_rows_and_above_columns():
    x = torch.full((4, 1, 8, 8), -1.0)
    plain = Grid(x, 2).picture()
    named = Grid(x, 2, ["a", "b"], ["first", "a much longer name"]).picture()
    left, top = named.width - plain.width, named.height - plain.height
    assert top > TEXT
    assert left > 80
    assert named.crop((left, top, *named.size)).tobytes() == plain.tobytes()
    assert named.crop((0, top, left, named.height)).getextrema() == (0, 255)


def test_a_film_has_a_frame_for_each_column_with_its_name():
    x = torch.linspace(-1, 1, 15).view(15, 1, 1, 1).expand(-1, 1, 8, 8)
    film = Grid(x, 3, ["a", "b", "c"]).film()
    # 5 rows are 3 columns and 2 rows of a frame.
    assert {frame.width for frame in film.frames} == {3 * 66 + 2}
    assert len(film.frames) == 3
    assert repr(film) == "Film(3 frames, 0.3 s)"


@pytest.mark.parametrize("end", [".png", ".webp", ".gif", ".GIF"])
def test_a_film_is_written_as_its_name_says(tmp_path, end):
    x = torch.linspace(-1, 1, 12).view(12, 1, 1, 1).expand(-1, 1, 8, 8)
    film = Grid(x, 6).film()
    film.save(tmp_path / f"film{end}")
    with Image.open(tmp_path / f"film{end}") as written:
        assert (written.format, written.n_frames) == (end[1:].upper(), 6)
        for i, frame in enumerate(film.frames):
            written.seek(i)
            assert written.convert("L").tobytes() == frame.tobytes()


def test_another_end_of_a_name_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"x.jpg must end in .png, .gif, .webp"):
        Grid(torch.zeros(1, 1, 8, 8), 1).save(tmp_path / "x.jpg")
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_shows_pictures_and_animated_films():
    grid = Grid(torch.rand(4, 1, 8, 8), 2)
    assert frames_of(grid._repr_png_()) == ("PNG", 1)
    assert frames_of(grid.film()._repr_png_()) == ("PNG", 2)
    assert frames_of(Plot({"a": torch.rand(9, 2)})._repr_png_()) == ("PNG", 1)
    assert repr(grid) == "Grid(4 images, 2 columns)"


# Training.


def write_grids(folder, steps, size=40):
    (folder / "grids").mkdir()
    for i, step in enumerate(steps):
        Image.new("L", (size, size), i).save(folder / "grids" / f"step_{step:06d}.png")


def test_a_film_of_training_is_in_the_order_of_updates(tmp_path):
    write_grids(tmp_path, [0, 500, 999_999, 1_000_000])
    film = training_film(tmp_path)
    assert isinstance(film, Film)
    # The picture is below the line that names its update.
    assert [frame.getpixel((20, 50)) for frame in film.frames] == [0, 1, 2, 3]
    assert film.milliseconds == [500, 500, 500, 2000]
    first, second = (frame.crop((0, 0, frame.width, 24)).tobytes() for frame in film.frames[:2])
    assert first != second


def test_of_many_evaluations_some_are_in_the_film(tmp_path):
    write_grids(tmp_path, range(250), size=4)
    film = training_film(tmp_path)
    assert len(film.frames) == 200
    assert film.milliseconds[0] == 40
    assert film.frames[-1].getpixel((2, 26)) == 249


def test_what_is_no_film_is_told(tmp_path):
    with pytest.raises(MissingFileError, match=r"there are no pictures step_\*.png in"):
        training_film(tmp_path)
    write_grids(tmp_path, [0])
    (tmp_path / "grids" / "step_000001.png").write_text("no picture")
    with pytest.raises(WrongFileError, match=r"step_000001.png is not a picture"):
        training_film(tmp_path)
