"""The loss curves of techniques: made in small, and the committed ones."""

import json

import pytest
from PIL import Image

from benchmarks.figures import curves
from benchmarks.figures.figure import CHECKSUM_KEY, checksum, make, read
from benchmarks.protocol import RESULTS, ROOT
from benchmarks.records import read_records
from gan_lightning import TECHNIQUES

COMMITTED = sorted(path.stem for path in curves.CURVES.glob("*.json"))
every_committed = pytest.mark.parametrize("name", COMMITTED)


def silent(share, reached):
    assert share == 1
    assert reached


@pytest.mark.parametrize("name", ["dcgan", pytest.param("began", marks=pytest.mark.slow)])
def test_curves_are_those_of_a_run_and_of_the_records(name, tmp_path):
    figure = curves.figure(name)
    make(figure, figure.tiny, 0, tmp_path, silent)
    numbers = read(figure, figure.json_path(tmp_path))["numbers"]
    assert numbers["updates of the run"] == 4
    assert numbers["losses"]["updates"] == [1, 2, 3, 4]
    for loss in curves.LOSSES:
        assert len(set(numbers["losses"][loss])) == 4
    assert len(numbers["runs"]) == 3
    with Image.open(figure.picture_path(tmp_path)) as image:
        assert image.size == (960, 288)


@every_committed
def test_committed_curves_have_the_distances_of_the_records(name):
    figure = curves.figure(name)
    path = figure.json_path(curves.CURVES)
    content = read(figure, path)
    assert content["settings"] == json.loads(json.dumps(vars(figure.settings)))
    numbers = content["numbers"]
    assert numbers["runs"] == curves.distances(name)
    records = read_records(RESULTS, curves.PROTOCOL)
    lasts = [record.last[record.distance] for record in records if record.folder == name]
    assert [run["distances"][-1] for run in numbers["runs"]] == pytest.approx(lasts, rel=1e-3)
    assert len(numbers["losses"]["updates"]) >= curves.Settings().points
    with Image.open(figure.picture_path(curves.CURVES)) as image:
        assert image.text[CHECKSUM_KEY] == checksum(path)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_a_page_shows_the_curves_that_there_are(name):
    text = (ROOT / "docs" / "techniques" / f"{name}.md").read_text()
    (block,) = text.split("<!-- curves: begin -->")[1:]
    block = block.partition("<!-- curves: end -->")[0]
    assert (f"](../figures/curves/{name}.png)" in block) == (name in COMMITTED)


def test_the_command_answers_mistakes(capsys, tmp_path):
    with pytest.raises(SystemExit):
        curves.main(["dcgam"])
    assert "did you mean dcgan?" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="make it without --draw"):
        curves.main(["dcgan", "--draw", f"--output={tmp_path}"])
