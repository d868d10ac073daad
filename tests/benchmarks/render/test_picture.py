"""The picture in the README shows the committed page."""

from PIL import Image

from benchmarks.protocol import ROOT
from benchmarks.render.picture import CHECKSUM_KEY, PAGE, PICTURE, checksum


def test_the_picture_in_the_readme_shows_the_committed_page():
    picture = Image.open(PICTURE)
    assert picture.text[CHECKSUM_KEY] == checksum(PAGE), (
        "run python -m benchmarks.render.picture again"
    )
    assert picture.width == 1280
    assert "docs/leaderboard.png" in (ROOT / "README.md").read_text()
