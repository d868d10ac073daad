"""The real images that are nearest to generated ones."""

import pytest
import torch

from gan_lightning.grids import nearest_grid, neighbours_grid
from gan_lightning.metrics import load_extractor
from gan_lightning.metrics.nearest import nearest_images
from gan_lightning.utils.errors import ArgumentError, TooFewSamplesError


def images(n, seed=0, shape=(1, 8, 8)):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_copy_is_found_at_no_distance():
    real = images(100)
    found = nearest_images(real[[7, 40]], real, 3)
    torch.testing.assert_close(found.images[:, 0], real[[7, 40]])
    assert found.images.shape == (2, 3, 1, 8, 8)
    assert (found.distances[:, 0] < 1e-3).all()
    assert (found.apart > 10).all()


def test_all_neighbours_are_those_of_a_full_search_in_any_batches():
    real, generated = images(100), images(9, seed=1)
    difference = (generated[:, None] - real).flatten(2).double() * 127.5
    by_hand = difference.square().mean(dim=2).sqrt().sort(dim=1)
    for batches in (real, real.split(7), [(part, None) for part in real.split(30)]):
        found = nearest_images(generated, batches, 4)
        torch.testing.assert_close(found.distances, by_hand.values[:, :4])
        torch.testing.assert_close(found.images, real[by_hand.indices[:, :4]])
    between = torch.cdist(real.flatten(1).double(), real.flatten(1).double()) * 127.5 / 8
    apart = between.sort(dim=1).values[by_hand.indices[:, 0], 1]
    torch.testing.assert_close(found.apart, apart)


def test_uint8_images_are_those_in_their_range():
    real = torch.randint(256, (20, 1, 8, 8), dtype=torch.uint8)
    found = nearest_images(real[:3].float() / 127.5 - 1, real, 1)
    assert (found.distances < 1e-3).all()


def test_mirrored_images_are_found_where_training_saw_them():
    real = images(50)
    generated = real[:4].flip(-1)
    assert nearest_images(generated, real).distances[:, 0].min() > 10
    found = nearest_images(generated, real, mirrored=True)
    assert found.distances[:, 0].max() < 1e-3
    torch.testing.assert_close(found.images[:, 0], generated)


def test_features_find_their_own_neighbours():
    real, extractor = images(60), load_extractor("digits_cnn")
    found = nearest_images(real[:2], real, 2, extractor)
    assert found.space == "digits_cnn"
    torch.testing.assert_close(found.images[:, 0], real[:2])
    assert found.summary().startswith("digits_cnn: the median distance to the nearest real image")
    grid = nearest_grid(real[:2], real, 2, extractor)
    assert grid.row_names == ["pixels", "digits_cnn"] * 2
    assert grid.column_names == ["generated", "nearest", "2nd"]
    rows = grid.images.unflatten(0, (4, 3))
    torch.testing.assert_close(rows[[0, 2], 0], real[:2])
    torch.testing.assert_close(rows[[0, 2], 1], real[:2])
    torch.testing.assert_close(rows[1], torch.cat([torch.ones(1, 1, 8, 8), found.images[0]]))


def test_neighbours_are_numbered():
    real = images(30)
    grid = neighbours_grid(real[:1], [nearest_images(real[:1], real, 24)])
    names = list(grid.column_names)
    assert names[2:4] == ["2nd", "3rd"]
    assert names[11:14] == ["11th", "12th", "13th"]
    assert names[21:] == ["21st", "22nd", "23rd", "24th"]


def test_what_cannot_be_compared_is_told():
    with pytest.raises(ArgumentError, match=r"the shape \(1, 8, 8\), and real ones \(3, 8, 8\)"):
        nearest_images(images(2), images(9, shape=(3, 8, 8)))
    with pytest.raises(TooFewSamplesError, match="fewer than 5 real images"):
        nearest_images(images(2), images(4))
    with pytest.raises(ValueError, match="neighbours must be at least 1"):
        nearest_images(images(2), images(4), 0)
