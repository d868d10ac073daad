"""Cached features of real samples: read back unchanged, or computed again."""

from dataclasses import replace

import pytest
import torch

from gan_lightning.metrics import Features, Pool
from gan_lightning.metrics.statistics import read_statistics, statistics_path, write_statistics


@pytest.fixture
def statistics():
    features = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    moments = Pool(5, keep=False)
    moments.add(features, None, torch.arange(30))
    return {"features": Features(features), "moments": moments.gather()}


@pytest.mark.parametrize("kind", ["features", "moments"])
def test_written_statistics_are_read_back(tmp_path, statistics, kind):
    path = tmp_path / "new" / "folder" / "file"
    write_statistics(statistics[kind], path)
    read = read_statistics(path)
    assert len(read) == 30
    assert torch.equal(read.features, statistics[kind].features)
    assert torch.equal(read.moments.sum, statistics[kind].moments.sum)
    assert torch.equal(read.moments.products, statistics[kind].moments.products)
    assert [file.name for file in path.parent.iterdir()] == ["file"]


def test_distances_of_neighbours_are_written_once_they_are_known(tmp_path, statistics):
    features = statistics["features"]
    write_statistics(features, tmp_path / "file")
    assert read_statistics(tmp_path / "file").known_distances is None
    distances = features.neighbour_distances
    write_statistics(features, tmp_path / "file")
    assert torch.equal(read_statistics(tmp_path / "file").known_distances, distances)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(30, 4).double(), torch.zeros(30, 5), torch.zeros(29, 5).double()]
)
def test_other_distances_are_not_used(tmp_path, statistics, wrong):
    write_statistics(replace(statistics["features"], known_distances=wrong), tmp_path / "file")
    with pytest.warns(UserWarning, match="holds something else"):
        assert read_statistics(tmp_path / "file") is None


def test_a_missing_file_gives_none_without_a_warning(tmp_path, recwarn):
    assert read_statistics(tmp_path / "file") is None
    assert not recwarn.list


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: content[:40],
        lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: content + b"more",
        lambda content: b"\xff" * 500,
    ],
)
def test_a_damaged_file_is_reported_and_not_used(tmp_path, statistics, damage):
    path = tmp_path / "file"
    write_statistics(statistics["features"], path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=f"{path} is damaged: .* computed again"):
        assert read_statistics(path) is None


def test_a_folder_that_cannot_be_written_to_is_reported(tmp_path, statistics):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="cannot be cached: .*file.*computes them again"):
        write_statistics(statistics["moments"], tmp_path / "file" / "below")


def test_a_failed_write_leaves_the_existing_file_intact(tmp_path, statistics, monkeypatch):
    path = tmp_path / "file"
    write_statistics(statistics["moments"], path)
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.warns(UserWarning, match="No space left on device"):
        write_statistics(statistics["features"], path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_every_key_has_its_own_file(tmp_path):
    paths = {
        statistics_path(tmp_path, "Digits-train", "digits_cnn", keep, key)
        for keep in (True, False)
        for key in ("one", "other")
    }
    assert len(paths) == 4
    assert all(path.name.startswith("Digits-train-digits_cnn-") for path in paths)
