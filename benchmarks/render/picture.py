"""A screenshot of the page: ``python -m benchmarks.render.picture``; needs Chromium."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.protocol import ROOT

PAGE = ROOT / "leaderboard.html"
PICTURE = ROOT / "docs" / "leaderboard.png"
#: The key of the PNG text that holds the checksum of the page shown.
CHECKSUM_KEY = "sha256 of leaderboard.html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1280, 1500


def main() -> None:
    """Take the screenshot."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "page.png"
        screenshot(PAGE, image, WIDTH, HEIGHT)
        info = PngInfo()
        info.add_text(CHECKSUM_KEY, checksum(PAGE))
        Image.open(image).convert("RGB").save(PICTURE, optimize=True, pnginfo=info)
    print(f"wrote {PICTURE}")


def browser() -> str | None:
    """The path of Chromium, if it is installed."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def screenshot(page: Path, picture: Path, width: int, height: int) -> None:
    """Write a picture of the page in a browser window of this size.

    Raises:
        SystemExit: no browser is installed.
    """
    program = browser()
    if program is None:
        raise SystemExit(f"none of {', '.join(BROWSERS)} is installed")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    size = f"--window-size={width},{height}"
    subprocess.run(
        [program, *options, size, f"--screenshot={picture}", page.as_uri()],
        check=True,
        capture_output=True,
        timeout=100,
    )


def checksum(page: Path) -> str:
    """SHA-256 of the page."""
    return hashlib.sha256(page.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
