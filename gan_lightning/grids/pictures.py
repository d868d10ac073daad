"""What is shown: a grid of images, a plot of points, a film."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from gan_lightning.utils.pictures import (
    encode,
    grid_picture,
    of_one_size,
    points_picture,
    save_picture,
    with_caption,
)

#: How long a frame of a film stays by default.
MILLISECONDS = 100


class Film(NamedTuple):
    """Frames of one size, each shown for so many milliseconds; then the film begins again."""

    frames: Sequence[Image.Image]
    milliseconds: Sequence[int]

    def save(self, path: str | Path) -> None:
        """Write the film as ``.webp``, ``.gif`` or, animated as well, ``.png``.

        Raises:
            UserError: the name ends in something else, or the file cannot be written.
        """
        save_picture(self.frames, self.milliseconds, Path(path))

    def __repr__(self) -> str:
        """What stands in a log, or in a notebook without pictures."""
        return f"Film({len(self.frames)} frames, {sum(self.milliseconds) / 1000:g} s)"

    def _repr_png_(self) -> bytes:
        """What a notebook shows: an animated PNG."""
        return encode(self.frames, self.milliseconds, "PNG")


class Grid(NamedTuple):
    """Images in rows of ``columns``.

    Args:
        images: ``(N, C, H, W)`` in [-1, 1].
        columns: images in a row.
        column_names: what stands above each column, if anything.
        row_names: what stands to the left of each row, if anything.
    """

    images: Tensor
    columns: int
    column_names: Sequence[str] = ()
    row_names: Sequence[str] = ()

    def __repr__(self) -> str:
        """What stands in a log, or in a notebook without pictures."""
        return f"Grid({len(self.images)} images, {self.columns} columns)"

    def picture(self) -> Image.Image:
        """The grid with its names; small images are enlarged, without interpolation."""
        return grid_picture(self.images, self.columns, self.column_names, self.row_names)

    def film(self, milliseconds: int = MILLISECONDS) -> Film:
        """The columns one after the other, each frame with all rows, in a square if unnamed."""
        frames = []
        rows = self.images.unflatten(0, (-1, self.columns))
        square = 1 if self.row_names else math.ceil(len(rows) ** 0.5)
        for i in range(self.columns):
            frame = grid_picture(rows[:, i], square, row_names=self.row_names)
            if self.column_names:
                frame = with_caption(frame, self.column_names[i])
            frames.append(frame)
        return Film(of_one_size(frames), [milliseconds] * len(frames))

    def save(self, path: str | Path) -> None:
        """Write the picture as ``.png``, ``.webp`` or ``.gif``.

        Raises:
            UserError: the name ends in something else, or the file cannot be written.
        """
        save_picture([self.picture()], [0], Path(path))

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return encode([self.picture()], [0], "PNG")


class Plot(NamedTuple):
    """Points in the plane, or the first two coordinates of vectors.

    Args:
        groups: named points ``(N, D)``, each group in a colour.
        lines: whether the points of a group are joined in their order.
        ground: points ``(N, D)`` in grey, below all others.
    """

    groups: Mapping[str, Tensor]
    lines: bool = False
    ground: Tensor | None = None

    def __repr__(self) -> str:
        """What stands in a log, or in a notebook without pictures."""
        return f"Plot({', '.join(self.groups)})"

    def picture(self) -> Image.Image:
        """The plot with its legend."""
        return points_picture(self.groups, lines=self.lines, ground=self.ground)

    def save(self, path: str | Path) -> None:
        """Write the picture as ``.png``, ``.webp`` or ``.gif``.

        Raises:
            UserError: the name ends in something else, or the file cannot be written.
        """
        save_picture([self.picture()], [0], Path(path))

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return encode([self.picture()], [0], "PNG")
