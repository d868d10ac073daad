"""The examples run, shortened, and find what they should; their pages are those of the scripts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
EXAMPLES = {path.stem: path for path in sorted((ROOT / "examples").glob("*.py"))}
PAGES = ROOT / "docs" / "examples"
every_example = pytest.mark.parametrize("name", EXAMPLES)


@pytest.fixture
def run_example(tmp_path, forked):
    """``run_example(name, **environment)``: what an example prints."""

    def run(name, **environment):
        done = subprocess.run(
            [sys.executable, str(EXAMPLES[name])],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


def numbers(pattern, text):
    """The groups of the only match, without thousands' commas, as numbers."""
    (found,) = re.findall(pattern, text)
    found = found if isinstance(found, tuple) else (found,)
    return [float(number.replace(",", "")) for number in found]


def test_all_examples_are_found():
    assert set(EXAMPLES) == {"first_gan", "from_a_paper", "own_images", "compare_fairly"}


@pytest.mark.slow
def test_the_first_gan_learns(run_example, tmp_path):
    printed = run_example("first_gan", UPDATES="600")
    before, after = numbers(r"before training ([\d,]+), after 600 updates ([\d,]+)", printed)
    assert after < before / 2
    assert "samples (40, 1, 8, 8)" in printed
    run = tmp_path / "runs" / "Digits-DCGAN" / "version_0"
    assert len(list(run.glob("grids/*.png"))) == 6
    with Image.open(run / "losses.png") as picture:
        assert picture.size == (800, 260)


@pytest.mark.slow
def test_the_technique_of_the_paper_has_its_losses_and_finds_modes(run_example):
    printed = run_example("from_a_paper")
    (equal,) = numbers(r"equal scores: ([\d.]+),", printed)
    assert equal == pytest.approx(0.6931, abs=1e-4)
    critic, generator = numbers(r"above fake: ([\d.]+) for the critic, ([\d.]+) for", printed)
    assert critic < 1e-3
    assert generator == pytest.approx(10, abs=0.1)
    plain_modes, plain = numbers(r"\bDCGAN: (\d) of 8 modes, distance ([\d.]+)", printed)
    modes, distance = numbers(r"PairedGAN: (\d) of 8 modes, distance ([\d.]+)", printed)
    assert modes > plain_modes
    assert distance < plain / 2


@pytest.mark.slow
def test_own_images_are_drawn_where_there_are_none(run_example, tmp_path):
    printed = run_example("own_images", UPDATES="60")
    assert "600 files in pictures" in printed
    assert "600 images of (3, 16, 16)" in printed
    with Image.open(tmp_path / "pictures" / "0000.png") as picture:
        assert picture.size == (32, 32)
        assert len(picture.getcolors()) == 2
    (share,) = numbers(r"have (\d+)% of the diversity", printed)
    assert 0 < share < 300


@pytest.mark.slow
def test_own_images_takes_a_folder(run_example, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for i in range(250):
        Image.new("RGB", (20, 30), (i, 0, 255 - i)).save(folder / f"{i}.png")
    printed = run_example("own_images", UPDATES="3", PICTURES=str(folder))
    assert "250 images of (3, 16, 16)" in printed
    assert not (tmp_path / "pictures").exists()


@pytest.mark.slow
def test_the_comparison_gives_both_the_same_points_and_ranks_them(run_example, tmp_path):
    printed = run_example("compare_fairly", BUDGET="38400", SEEDS="0,1")
    (dcgan,) = numbers(r"DCGAN +saw ([\d,]+) points", printed)
    (penalised,) = numbers(r"WGAN-GP +saw ([\d,]+) points", printed)
    assert dcgan == penalised == 38400
    rows = re.findall(r"^(DCGAN|WGAN-GP) +([\d.]+) ± ([\d.]+) +2$", printed, re.MULTILINE)
    assert {name for name, *_ in rows} == {"DCGAN", "WGAN-GP"}
    assert float(rows[0][1]) <= float(rows[1][1])
    assert (tmp_path / "curves.png").is_file()


def cells(name):
    """The cells of a script in turn, without the marks."""
    parts = re.split(r"^# %%(?: \[(markdown)\])?\n", EXAMPLES[name].read_text(), flags=re.MULTILINE)
    assert parts[0] == ""
    for kind, text in zip(parts[1::2], parts[2::2], strict=True):
        if kind == "markdown":
            yield re.sub(r"^# ?", "", text, flags=re.MULTILINE).strip()
        else:
            yield f"```python\n{text.strip()}\n```"


@every_example
def test_a_page_has_all_cells_of_its_script_in_turn(name):
    page = (PAGES / f"{name}.md").read_text()
    end = 0
    for cell in cells(name):
        start = page.find(cell, end)
        assert start >= 0, f"run python -m benchmarks.site.notebooks {name}: {cell[:200]}"
        end = start + len(cell)


@every_example
def test_a_page_shows_pictures_and_says_what_goes_wrong(name):
    page = (PAGES / f"{name}.md").read_text()
    assert "\n## What goes wrong\n" in page
    assert "\n## Exercises\n" in page
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
    assert pictures
    for picture in pictures:
        with Image.open(PAGES / picture) as image:
            assert len(image.convert("RGB").getcolors(maxcolors=100_000)) > 3
        assert (PAGES / picture).stat().st_size < 60_000
