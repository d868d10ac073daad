"""The files beside the page: pictures, films, tables as CSV, and days of commits."""

import csv
import dataclasses
import json
import re
import shutil
from urllib.parse import unquote

import pytest
from PIL import Image

from benchmarks.protocol import ROOT
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import frame_indices, write_record
from benchmarks.render import command as render
from benchmarks.render.dates import Dates
from benchmarks.render.page import _plain
from benchmarks.render.pictures import read_film
from benchmarks.run.results import MAX_FILM_HEIGHT, save_film
from gan_lightning.utils.errors import WrongFileError


@pytest.fixture
def results(tmp_path, record):
    """DCGAN on two seeds with a picture and a film."""
    folder = tmp_path / "elsewhere" / "results"
    for seed, distance in enumerate((9.0, 11.0)):
        last = record.last | {"fd1797_digits_cnn": distance}
        path = write_record(dataclasses.replace(record, seed=seed, last=last), folder)
    pictures = []
    for i, colour in enumerate(("red", "lime", "blue")):
        pictures.append(tmp_path / f"{i}.png")
        Image.new("RGB", (34, 20), colour).save(pictures[-1])
    path = path.with_name("seed0.png")
    shutil.copy(pictures[-1], path)
    save_film(pictures, path.with_suffix(".webp"))
    return folder


def rendered(results, output, *arguments):
    render.main(["--results", str(results), "--output", str(output), *arguments])
    return (output / "leaderboard.html").read_text()


def linked(page):
    """The files that a page links to, or shows."""
    links = re.findall(r'(?:src|href|data-film)="([^"#]+)"', page)
    return [unquote(link) for link in links if not link.startswith("https://")]


def test_the_page_works_from_its_folder_wherever_that_is(results, tmp_path):
    output = tmp_path / "output"
    page = rendered(results, output)
    shutil.rmtree(results)
    output.rename(tmp_path / "moved")
    files = linked(page)
    assert "leaderboard/pictures/digits/dcgan/seed0.png" in files
    assert "leaderboard/pictures/digits/dcgan/seed0.webp" in files
    assert "leaderboard/pictures/real/digits.png" in files
    assert "leaderboard/digits.csv" in files
    assert [name for name in files if not (tmp_path / "moved" / name).is_file()] == []
    assert not any(name.startswith(("/", "..")) for name in files)
    markdown = (tmp_path / "moved" / "LEADERBOARD.md").read_text()
    assert "![DCGAN](leaderboard/pictures/digits/dcgan/seed0.png)" in markdown


def test_pictures_and_records_in_the_folder_of_the_page_are_not_copied(results):
    page = rendered(results, results)
    assert "digits/dcgan/seed0.png" in linked(page)
    assert "digits/dcgan/seed1.json" in linked(page)
    assert [path.name for path in results.rglob("pictures/**/*.png")] == ["digits.png"]  # real ones


def test_check_looks_at_copies(results, tmp_path):
    output = tmp_path / "output"
    rendered(results, output)
    rendered(results, output, "--check")
    copy = output / "leaderboard" / "pictures" / "digits" / "dcgan" / "seed0.png"
    copy.write_bytes(b"")
    with pytest.raises(SystemExit, match=r"seed0\.png: not what the records give"):
        rendered(results, output, "--check")


def test_the_committed_page_links_to_committed_files_only():
    files = linked((ROOT / "leaderboard.html").read_text())
    assert len(files) > 500
    assert sorted({name for name in files if not (ROOT / name).is_file()}) == []
    assert not any(name.startswith(("/", "..")) for name in files)
    assert {
        f"benchmarks/real_samples/{protocol.real_samples}.png"
        for protocol in PROTOCOLS.values()
        if protocol.real_samples
    } <= set(files)


def test_the_committed_page_is_light():
    assert (ROOT / "leaderboard.html").stat().st_size < 1_500_000
    assert "base64" not in (ROOT / "leaderboard.html").read_text()


def test_a_film_has_a_caption_for_each_of_its_pictures(results, tmp_path):
    page = rendered(results, tmp_path / "output")
    frames = json.loads(re.search(r"data-frames='([^']+)'", page)[1])
    assert frames == [
        "0 images, distance 2000",
        "1.6k images, distance 8.00",
        "3.2k images, distance 9.00",
    ]
    assert '<input type="range" min="0" max="2" value="2"' in page


def test_a_film_shows_each_picture_at_its_place(results):
    film = read_film(results / "digits/dcgan/seed0.webp", results / "digits/dcgan/seed0.png")
    assert film.frames == 3
    pixels = Image.open(film.path).convert("RGB")
    assert pixels.size == (34, 60)
    brightest = [max(range(3), key=pixels.getpixel((17, y)).__getitem__) for y in (10, 30, 50)]
    assert brightest == [0, 1, 2]


def test_a_film_of_many_evaluations_shows_some_and_stays_within_the_limit(tmp_path):
    assert frame_indices(3) == [0, 1, 2]
    some = frame_indices(1000)
    assert (some[0], some[-1], len(some)) == (0, 999, 25)
    pictures = [tmp_path / "picture.png"] * 40
    Image.new("RGB", (100, 1000)).save(pictures[0])
    save_film(pictures, tmp_path / "film.webp")
    assert Image.open(tmp_path / "film.webp").height == MAX_FILM_HEIGHT
    assert read_film(tmp_path / "film.webp", pictures[0]).frames == 25


def test_an_animation_of_an_older_run_is_no_film(tmp_path):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "a.png")
    assert read_film(tmp_path / "a.webp", tmp_path / "a.png") is None
    (tmp_path / "b.webp").write_text("secret")
    with pytest.raises(WrongFileError, match=r"b\.webp is not a picture"):
        read_film(tmp_path / "b.webp", tmp_path / "a.png")


def test_the_table_is_a_csv_file_with_means_deviations_and_ranks(results, tmp_path):
    rendered(results, tmp_path)
    with (tmp_path / "leaderboard" / "digits.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["rank"], row["technique"], row["key"]) == ("1", "DCGAN", "dcgan")
    assert row["fd1797_digits_cnn last"] == "10"
    assert row["fd1797_digits_cnn last sd"] == "1.41421"
    assert (row["images to 20"], row["images to 20 sd"]) == ("1600", "0")
    assert row["seeds"] == "2"


@pytest.mark.parametrize(
    ("text", "written"),
    [("=1+1", "'=1+1"), ("@a", "'@a"), ("-x", "'-x"), ("-1.5", "-1.5"), ("2e-05", "2e-05")],
)
def test_no_cell_is_a_formula(text, written):
    assert _plain(text) == written


def test_the_day_of_a_run_is_its_own_or_that_of_its_commit(tmp_path, record):
    commit = "ab" * 20
    old = dataclasses.replace(record, commit=f"{commit}-dirty")
    new = dataclasses.replace(old, date="2027-01-02")
    (tmp_path / "dates.json").write_text(json.dumps({commit: "2026-11-26"}))
    dates = Dates(tmp_path, [old, new], ask_git=False)
    assert (dates.of(old), dates.of(new)) == ("2026-11-26", "2027-01-02")
    assert dates.of(dataclasses.replace(old, commit="")) == ""
    assert dates.of(dataclasses.replace(new, date="<b>")) == "2026-11-26"
    assert dates.text is None


def test_days_that_git_knows_are_kept_in_a_file(tmp_path, record, monkeypatch):
    commit = "cd" * 20
    shown = f"{commit} 2026-11-25\nmore\n"
    monkeypatch.setattr(
        "subprocess.run", lambda *_, **__: type("Shown", (), {"stdout": shown, "returncode": 0})
    )
    old = dataclasses.replace(record, commit=commit)
    assert Dates(tmp_path, [old], ask_git=False).of(old) == ""
    dates = Dates(tmp_path, [old], ask_git=True)
    assert dates.of(old) == "2026-11-25"
    assert json.loads(dates.text) == {commit: "2026-11-25"}


@pytest.mark.parametrize("text", ["[", "[]", '{"a": "2026-11-26"}', '{"' + "ab" * 20 + '": 3}'])
def test_a_file_of_days_that_is_none_is_reported(tmp_path, text):
    (tmp_path / "dates.json").write_text(text)
    with pytest.raises(WrongFileError, match=r"dates\.json does not hold the days of commits"):
        Dates(tmp_path, [], ask_git=False)


def test_the_committed_records_have_their_days():
    days = json.loads((ROOT / "benchmarks" / "results" / "dates.json").read_text())
    for path in (ROOT / "benchmarks" / "results").glob("*/*/seed*.json"):
        record = json.loads(path.read_text())
        assert record.get("date") or record["commit"][:40] in days, path
