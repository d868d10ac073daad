"""Links from the page to pictures and records, and copies of pictures that lie elsewhere."""

import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.protocol import ROOT
from benchmarks.render.markdown import relative_link
from gan_lightning.utils.errors import WrongFileError

#: The folder, beside the page, of files that belong to it.
BESIDE = "leaderboard"


@dataclass(frozen=True)
class Film:
    """Pictures of a run at its evaluations, one below the other.

    Args:
        path: the picture of all.
        frames: their number.
    """

    path: Path
    frames: int


class Links:
    """Relative links from pages in a folder, so that they hold wherever the folder is moved.

    Args:
        output: the folder that pages are written to.
        results: the folders of records.

    Attributes:
        copies: the pictures outside of ``output`` that have to be copied to it, by their copies.
    """

    def __init__(self, output: Path, *results: Path) -> None:
        self.output = Path(os.path.abspath(output))
        self._results = [Path(os.path.abspath(folder)) for folder in results]
        self.copies: dict[Path, Path] = {}

    def picture(self, path: Path, folder: Path | None = None) -> str:
        """The link to a picture from a page in ``folder``, by default the output.

        Raises:
            WrongFileError: the file is not a PNG or WebP picture.
        """
        _check_picture(path)
        place = Path(os.path.abspath(path))
        if not place.is_relative_to(self.output):
            folders = (each for each in self._results if place.is_relative_to(each))
            above = next(folders, None)
            name = Path("real", place.name) if above is None else place.relative_to(above)
            copy = self.output / BESIDE / "pictures" / name
            self.copies[copy] = path
            place = copy
        return relative_link(place, self._folder(folder))

    def file(self, path: Path, folder: Path | None = None) -> str | None:
        """The link to a record, or a file of the repository; None where none would hold.

        A page outside of the repository does not link into it, as it may be moved.
        """
        place = Path(os.path.abspath(path))
        in_repository = place.is_relative_to(ROOT) and self.output.is_relative_to(ROOT)
        if not place.is_file() or not (in_repository or place.is_relative_to(self.output)):
            return None
        return relative_link(place, self._folder(folder))

    def _folder(self, folder: Path | None) -> Path:
        return self.output if folder is None else Path(os.path.abspath(folder))


def read_film(path: Path | None, picture: Path | None) -> Film | None:
    """The film at a path; None if there is none, or it is an animation, as older runs wrote.

    Raises:
        WrongFileError: the file is not a picture.
    """
    if path is None or picture is None:
        return None
    _check_picture(path)
    _check_picture(picture)
    with Image.open(path) as film, Image.open(picture) as frame:
        if getattr(film, "n_frames", 1) > 1:
            return None
        # Of whole multiples; one that was too high has been made smaller.
        frames = round(film.height / film.width * frame.width / frame.height)
    return Film(path, frames) if frames > 1 else None


def _check_picture(path: Path) -> None:
    try:
        with Image.open(path, formats=("PNG", "WEBP")) as image:
            image.load()
    except Exception as error:
        # Decoders raise errors of any type. It may be a link to a file that must not be published.
        raise WrongFileError(f"{path} is not a picture") from error
