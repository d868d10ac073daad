"""The sensitivity of scores: how images are distorted and drawn, and what is measured."""

import json

import pytest
import torch
from formats import TEST

from benchmarks import sensitivity
from benchmarks.render.measured import sensitivity_tables


def test_distortions_grow_and_keep_the_shape():
    x = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    changed = {name: change(x) for name, change in sensitivity.distortions().items()}
    assert all((y.shape, y.dtype) == (x.shape, x.dtype) for y in changed.values())

    def by_kind(kind):
        return [
            (y.int() - x.int()).abs().float().mean().item()
            for name, y in changed.items()
            if name.startswith(kind)
        ]

    for kind in ("blurred", "noised"):
        amounts = by_kind(kind)
        assert len(amounts) > 1
        assert amounts == sorted(amounts)
        assert amounts[0] > 0


def test_the_same_images_are_drawn_with_their_labels():
    x, y = torch.arange(50).view(-1, 1), torch.arange(50)
    first, labels = sensitivity.draw_subset(x, y, 20)
    assert first.flatten().tolist() == labels.tolist()
    assert torch.equal(sensitivity.draw_subset(x, y, 20)[0], first)
    assert len(set(labels.tolist())) == 20


@pytest.mark.timeout(200)
def test_measurements_are_written_and_shown(tmp_path, data_files):
    from gan_lightning.metrics.train_extractor import main as train

    paths = data_files("ImageFolder")
    weights = tmp_path / "small.pt"
    folder = ["--data.data_dir", paths["data_dir"], "--data.cache_dir", paths["cache_dir"]]
    train(["--data", "ImageFolder", *folder, "--data.size", "16", "--output", str(weights)])
    options = ["--folder", paths["data_dir"], "--cache", paths["cache_dir"], "--size", "16"]
    options += ["--extractor", "classifier", "--weights", str(weights), "--title", "Small pictures"]
    sensitivity.main([*options, "--output", str(tmp_path / "results")])
    (path,) = (tmp_path / "results").iterdir()
    rows = json.loads(path.read_text())["rows"]
    assert list(rows)[:2] == [f"test, {TEST}", "test, without a class"]
    names = ["distance", "kernel distance", "score", "precision", "recall", "density", "coverage"]
    assert all(list(row) == names for row in rows.values())
    page = sensitivity_tables(tmp_path / "results")
    assert "Small pictures" in page
    for name, row in rows.items():
        assert f"| {name} | {row['distance']:.3g} |" in page
