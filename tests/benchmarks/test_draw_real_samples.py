"""Pictures of real samples, beside which the page shows generated ones."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import draw_real_samples
from benchmarks.protocol import REAL_SAMPLES
from benchmarks.protocols import PROTOCOLS


def test_the_committed_digits_are_those_that_the_program_draws(tmp_path, capsys):
    draw_real_samples.main(["--output", str(tmp_path)])
    drawn, committed = (Image.open(each / "digits.png") for each in (tmp_path, REAL_SAMPLES))
    # Bytes depend on the version of Pillow.
    assert np.array_equal(np.asarray(drawn), np.asarray(committed))
    assert "digits.png" in capsys.readouterr().out


def test_every_protocol_of_images_with_records_has_real_samples():
    named = {each.name: each.real_samples for each in PROTOCOLS.values() if each.real_samples}
    assert set(named.values()) == {"digits", "fashion-mnist", "cifar10-jpeg"}
    for name in named.values():
        # Eight by eight, as the grids of runs.
        width, height = Image.open(REAL_SAMPLES / f"{name}.png").size
        assert width == height
        assert (width - 2) % 8 == 0


def test_samples_of_a_folder(tmp_path):
    for split in ("train", "test"):
        folder = tmp_path / "data" / split / "a"
        folder.mkdir(parents=True)
        for i in range(65):
            Image.new("RGB", (32, 32), (i, 0, 255)).save(folder / f"{i}.png")
    arguments = ["--protocol", "cifar10-jpeg-cpu", "--data-dir", str(tmp_path / "data")]
    draw_real_samples.main([*arguments, "--output", str(tmp_path)])
    picture = Image.open(tmp_path / "cifar10-jpeg.png")
    shown = {
        picture.getpixel((10 + 34 * column, 10 + 34 * row)) for row, column in np.ndindex(8, 8)
    }
    assert len(shown) == 64
    assert {pixel[1:] for pixel in shown} == {(0, 255)}


def test_data_that_is_not_there_is_told_in_a_line(tmp_path):
    arguments = ["--protocol", "cifar10-jpeg-cpu", "--data-dir", str(tmp_path / "none")]
    with pytest.raises(SystemExit) as stopped:
        draw_real_samples.main([*arguments, "--output", str(tmp_path)])
    assert stopped.value.code.startswith("benchmarks.draw_real_samples: ")
    assert "\n" not in stopped.value.code
