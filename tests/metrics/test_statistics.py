"""Features of real samples on disk: the same again, or made again."""

import pytest
import torch

from gan_lightning.metrics import Features, Pool
from gan_lightning.metrics.statistics import read_statistics, statistics_path, write_statistics


@pytest.fixture
def measured():
    features = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    moments = Pool(5, keep=False)
    moments.add(features, None, torch.arange(30))
    return {"features": Features(features), "moments": moments.gather()}


@pytest.mark.parametrize("kind", ["features", "moments"])
def test_what_was_written_is_read(tmp_path, measured, kind):
    path = tmp_path / "new" / "folder" / "file"
    write_statistics(measured[kind], path)
    read = read_statistics(path)
    assert len(read) == 30
    assert torch.equal(read.features, measured[kind].features)
    assert torch.equal(read.moments.sum, measured[kind].moments.sum)
    assert torch.equal(read.moments.products, measured[kind].moments.products)
    assert [file.name for file in path.parent.iterdir()] == ["file"]


def test_there_is_nothing_where_nothing_was_written(tmp_path, recwarn):
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
def test_a_damaged_file_is_said_and_not_used(tmp_path, measured, damage):
    path = tmp_path / "file"
    write_statistics(measured["features"], path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=f"{path} is damaged: .* computed again"):
        assert read_statistics(path) is None


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path, measured):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="cannot be cached: .*file.*computes them again"):
        write_statistics(measured["moments"], tmp_path / "file" / "below")


def test_a_write_that_fails_half_way_leaves_what_was_there(tmp_path, measured, monkeypatch):
    path = tmp_path / "file"
    write_statistics(measured["moments"], path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        write_statistics(measured["features"], path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_another_key_is_another_file(tmp_path):
    paths = {
        statistics_path(tmp_path, "Digits-train", "digits_cnn", keep, key)
        for keep in (True, False)
        for key in ("one", "other")
    }
    assert len(paths) == 4
    assert all(path.name.startswith("Digits-train-digits_cnn-") for path in paths)
