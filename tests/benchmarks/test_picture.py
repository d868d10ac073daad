"""The picture in the README is of the page that is there."""

from PIL import Image

from benchmarks.picture import CHECKSUM_KEY, PAGE, PICTURE, checksum
from benchmarks.protocol import ROOT


def test_the_picture_in_the_readme_is_of_the_committed_page():
    picture = Image.open(PICTURE)
    assert picture.text[CHECKSUM_KEY] == checksum(PAGE), "run python -m benchmarks.picture again"
    assert picture.width == 1280
    assert "docs/leaderboard.png" in (ROOT / "README.md").read_text()
