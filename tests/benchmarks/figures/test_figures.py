"""Figures: made in small, drawn again from their numbers, and the committed ones."""

import json
import re
from decimal import Decimal

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.figures import command
from benchmarks.figures.figure import CHECKSUM_KEY, checksum, make, pack, read, unpack
from benchmarks.figures.registry import FIGURES

every_figure = pytest.mark.parametrize("name", FIGURES)
#: The largest file that is committed, in bytes.
MOST = 200_000


def silent(share, reached):
    assert 0 <= share <= 1
    assert reached


#: Figures that are made after each edit; the others take a few seconds each.
QUICK = ("ttur-saddle", "unrolled-ring", "lost-again")


@pytest.fixture(
    params=[pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in FIGURES]
)
def made(request, tmp_path):
    """A figure made in small, and the folder of its files."""
    figure = FIGURES[request.param]
    make(figure, figure.tiny, 0, tmp_path, silent)
    return figure, tmp_path


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_a_figure_is_made_twice_alike(made):
    figure, folder = made
    shown = pixels(figure.picture_path(folder))
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 10
    assert shown.shape[1] <= 1100

    again = folder / "again"
    make(figure, figure.tiny, 0, again, silent)
    first, second = (read(figure, figure.json_path(each)) for each in (folder, again))
    assert first["numbers"] == second["numbers"]
    assert np.array_equal(pixels(figure.picture_path(again)), shown)


@every_figure
def test_a_committed_picture_is_of_the_committed_numbers(name):
    figure = FIGURES[name]
    path, picture = figure.json_path(command.FOLDER), figure.picture_path(command.FOLDER)
    content = read(figure, path)
    settings = json.loads(json.dumps(vars(figure.settings)))
    assert (content["settings"], content["seed"]) == (settings, 0)
    with Image.open(picture) as image:
        assert image.text[CHECKSUM_KEY] == checksum(path)
    assert path.stat().st_size < MOST
    assert picture.stat().st_size < MOST


@every_figure
def test_the_page_shows_a_figure(name):
    page = (command.FOLDER.parent / "figures.md").read_text()
    assert f"](figures/{name}.png)" in page
    assert re.search(rf"python -m benchmarks\.figures {name}( --data-dir PATH)?\n", page)


def leaves(value):
    """All numbers in nested data."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return {number for item in items for number in leaves(item)}
    return {value} if type(value) in (int, float) else set()


@every_figure
def test_tables_beside_a_figure_have_the_committed_numbers(name):
    numbers = leaves(read(FIGURES[name], FIGURES[name].json_path(command.FOLDER))["numbers"])
    sections = [
        section
        for page in sorted(command.FOLDER.parent.rglob("*.md"))
        for section in re.split(r"\n##+ ", page.read_text())
        if f"figures/{name}.png)" in section
    ]
    assert len(sections) >= 2  # on the page of figures, and on that of a technique
    cells = [
        part.strip()
        for section in sections
        for row in re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
        for cell in row.split("|")[1:]
        for part in cell.split(", ")
    ]
    quoted = {cell.replace(",", "") for cell in cells if re.fullmatch(r"[\d.,e+-]*\d%?", cell)}
    assert not [text for text in quoted if not any(rounds_to(n, text) for n in numbers)]


def rounds_to(number, text):
    """Whether the text is the number, or what it is rounded to."""
    if text.endswith("%"):
        number, text = 100 * number, text.removesuffix("%")
    half = 0.5 * 10 ** Decimal(text).as_tuple().exponent
    return abs(number - float(text)) <= half * (1 + 1e-9)


def test_packed_numbers_are_unpacked():
    values = torch.randn(5, 7, dtype=torch.float64)
    packed = json.loads(json.dumps(pack(values)))
    error = np.abs(unpack(packed) - values.numpy()).max()
    assert error < (values.max() - values.min()).item() / 65535
    assert np.array_equal(unpack(pack(torch.full((2, 2), 3.0))), np.full((2, 2), 3.0))


def test_the_command_answers_mistakes(capsys, tmp_path):
    name = next(iter(FIGURES))
    for args, answer in [
        ([], "name a figure"),
        ([name[:-1]], f"did you mean {name}?"),
        ([name, "--seed=-1"], "seed must be from 0"),
        ([name, "--draw", f"--output={tmp_path}"], "make it without --draw"),
    ]:
        with pytest.raises(SystemExit) as raised:
            command.main(args)
        assert answer in capsys.readouterr().err + str(raised.value)
    command.main(["--list"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(FIGURES)


def test_the_command_draws_committed_figures(tmp_path, capsys):
    name = next(iter(FIGURES))
    figure = FIGURES[name]
    path = figure.json_path(tmp_path)
    path.write_bytes(figure.json_path(command.FOLDER).read_bytes())
    command.main([name, "--draw", f"--output={tmp_path}"])
    assert str(figure.picture_path(tmp_path)) in capsys.readouterr().out
    committed = figure.picture_path(command.FOLDER)
    assert pixels(figure.picture_path(tmp_path)).shape == pixels(committed).shape
    path.write_text(path.read_text().replace('"protocol": ', '"protocol": 9'))
    with pytest.raises(SystemExit, match="is of protocol 9"):
        command.main([name, "--draw", f"--output={tmp_path}"])


def test_progress_tells_the_time_left(capsys, monkeypatch):
    times = iter([0.0, 1.0, 100.0, 200.0])
    monkeypatch.setattr(command.time, "monotonic", lambda: next(times))
    report = command.progress("name")
    report(0.01, "update 1")  # too soon
    report(0.25, "update 25")
    report(1.0, "update 100")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["name:  25%, update 25, 5:00 left", "name: 100%, update 100, 0:00 left"]
