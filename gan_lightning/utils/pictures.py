"""Pictures to look at: grids with names beside them, points in the plane, and films."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.files import whole_file
from gan_lightning.utils.images import image_grid, to_pillow

#: What the ends of names of files mean; all three can hold films.
FORMATS = {".png": "PNG", ".gif": "GIF", ".webp": "WEBP"}
#: Smaller images are enlarged to about so many pixels.
CELL = 64
#: The size of letters, and the space around text, in pixels.
TEXT, MARGIN = 12, 6
#: Colours of matplotlib that differ in lightness too; of more groups, a scale.
COLOURS, SCALE = "tab10", "turbo"


def checked_format(path: Path, option: str = "output") -> Path:
    """The path of a picture.

    Raises:
        ArgumentError: its end is of no format that pictures are written in.
    """
    if path.suffix.lower() not in FORMATS:
        raise ArgumentError(f"--{option}: {path} must end in {', '.join(FORMATS)}")
    return path


def save_picture(frames: Sequence[Image.Image], milliseconds: Sequence[int], path: Path) -> None:
    """Write a picture or, of several frames, a film that repeats, without loss.

    Only a GIF has no more than 256 colours a frame.

    Raises:
        ArgumentError: the name's end is of no format.
        StorageError: it cannot be written.
    """
    kind = FORMATS[checked_format(path).suffix.lower()]
    content = encode(frames, milliseconds, kind)
    with whole_file(path) as file:
        file.write(content)


def encode(frames: Sequence[Image.Image], milliseconds: Sequence[int], kind: str) -> bytes:
    """The bytes of a picture or a film in one of ``FORMATS``."""
    buffer = io.BytesIO()
    lossless = {"lossless": True} if kind == "WEBP" else {}
    if len(frames) == 1:
        frames[0].save(buffer, kind, **lossless)
    else:
        frames[0].save(
            buffer,
            kind,
            save_all=True,
            append_images=frames[1:],
            duration=list(milliseconds),
            loop=0,
            **lossless,
        )
    return buffer.getvalue()


def grid_picture(
    x: Tensor, columns: int, column_names: Sequence[str] = (), row_names: Sequence[str] = ()
) -> Image.Image:
    """Images ``(N, C, H, W)`` in [-1, 1] side by side, with names above and to the left, if any."""
    cells = on_white(to_pillow(image_grid(x, columns, CELL)))
    rows = -(-len(x) // columns)
    left = max((_width(name) for name in row_names), default=-2 * MARGIN) + 2 * MARGIN
    top = TEXT + 2 * MARGIN if any(column_names) else 0
    if not left and not top:
        return cells
    width, height = (cells.width - 2) / columns, (cells.height - 2) / rows
    # The last name may be wider than its column.
    right = max(
        (left + 1 + (i + 0.5) * width + _width(name) / 2 for i, name in enumerate(column_names)),
        default=0,
    )
    picture = Image.new(cells.mode, (max(left + cells.width, int(right) + 1), top + cells.height))
    picture.paste("white", (0, 0, *picture.size))
    picture.paste(cells, (left, top))
    draw = ImageDraw.Draw(picture)
    for i, name in enumerate(column_names):
        place = (left + 1 + (i + 0.5) * width, top / 2)
        draw.text(place, name, fill="black", font=_font(), anchor="mm")
    for i, name in enumerate(row_names):
        place = (left - MARGIN, top + 1 + (i + 0.5) * height)
        draw.text(place, name, fill="black", font=_font(), anchor="rm")
    return picture


def with_caption(picture: Image.Image, text: str) -> Image.Image:
    """The picture with a line of text above."""
    picture = on_white(picture)
    top = TEXT + 2 * MARGIN
    width = max(picture.width, _width(text) + 2 * MARGIN)
    captioned = Image.new(picture.mode, (width, top + picture.height))
    captioned.paste("white", (0, 0, *captioned.size))
    captioned.paste(picture, (0, top))
    ImageDraw.Draw(captioned).text((MARGIN, top / 2), text, "black", _font(), anchor="lm")
    return captioned


def of_one_size(pictures: Iterable[Image.Image]) -> list[Image.Image]:
    """The pictures on a white ground as large as the largest, in colour if one is."""
    pictures = [on_white(picture) for picture in pictures]
    size = max(each.width for each in pictures), max(each.height for each in pictures)
    mode = "L" if all(each.mode == "L" for each in pictures) else "RGB"
    grounds = []
    for picture in pictures:
        ground = Image.new(mode, size, "white")
        ground.paste(picture.convert(mode))
        grounds.append(ground)
    return grounds


def on_white(picture: Image.Image) -> Image.Image:
    """A picture in grey or, if it has any, in colour; what is transparent shows white."""
    if picture.mode in ("L", "RGB"):
        return _grey_if_grey(picture)
    picture = picture.convert("RGBA")
    ground = Image.new("RGBA", picture.size, "white")
    return _grey_if_grey(Image.alpha_composite(ground, picture).convert("RGB"))


def _grey_if_grey(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB":
        red, green, blue = picture.split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            return red
    return picture


def points_picture(
    groups: Mapping[str, Tensor], *, lines: bool = False, ground: Tensor | None = None
) -> Image.Image:
    """The first two coordinates of named groups of vectors ``(N, D)``, each in a colour.

    With ``lines``, the vectors of a group are joined in their order. ``ground`` ``(N, D)`` is drawn
    below them in grey.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4.5), dpi=120)
    axes = figure.add_subplot(aspect="equal")
    colours = matplotlib.colormaps[COLOURS if len(groups) <= 10 else SCALE]
    if ground is not None:
        axes.scatter(*_plane(ground), s=3, color="0.8", linewidths=0)
    for i, (name, points) in enumerate(groups.items()):
        colour = colours(i if len(groups) <= 10 else i / (len(groups) - 1))
        if lines:
            axes.plot(*_plane(points), "o-", color=colour, markersize=2, linewidth=1, label=name)
        else:
            axes.scatter(*_plane(points), s=4, color=colour, alpha=0.6, linewidths=0, label=name)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), markerscale=3, frameon=False, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return Image.open(buffer).convert("RGB")


def _plane(x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.float().cpu()
    return x[:, 0], x[:, min(1, x.shape[1] - 1)]


def _width(text: str) -> int:
    return int(_font().getlength(text)) + 1 if text else 0


def _font() -> ImageFont.FreeTypeFont:
    # matplotlib's own has the letters of many languages, which names of classes need.
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(path, TEXT)
