"""The page as a picture for the README: ``python -m benchmarks.picture``; it needs Chromium."""

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
#: In the picture's file, the checksum of the page that it is of.
KEY = "sha256 of leaderboard.html"
NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1280, 1500


def main() -> None:
    """Take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        taken = Path(folder) / "page.png"
        screenshot(PAGE, taken, WIDTH, HEIGHT)
        info = PngInfo()
        info.add_text(KEY, checksum(PAGE))
        Image.open(taken).convert("RGB").save(PICTURE, optimize=True, pnginfo=info)
    print(f"wrote {PICTURE}")


def browser() -> str | None:
    """Chromium, where it is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def screenshot(page: Path, picture: Path, width: int, height: int) -> None:
    """Write what a browser of this size shows of the page.

    Raises:
        SystemExit: there is no browser.
    """
    program = browser()
    if program is None:
        raise SystemExit(f"none of {', '.join(NAMES)} is installed")
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
