"""Decoding images of any kind, and resizing them to one shape."""

import errno
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

Colour = tuple[int, int, int]

#: Limit for an image, 8,192 x 8,192: a file of a few KB can have any number of pixels, and decoding
#: and resizing take up to 11 bytes for each.
MAX_PIXELS = 2**26
#: Pixels that are converted together, so that an image is in memory only once.
STRIP_PIXELS = 2**20
#: White in the upper 8 of 16 bits, which are all that Pillow keeps of colours.
UPPER_BITS = 255
#: Errors of the disk, the network or the system, which no decoder raises for a broken file.
DISK_ERRORS = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV),
    *(errno.ENXIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EHOSTDOWN, errno.ETIMEDOUT),
}


class UnreadableImageError(ValueError):
    """The content is not an image, or the image is incomplete or too large."""


@dataclass
class Levels:
    """What the levels of decoded images of more than 8 bits tell about their white.

    ``bright``: an image reaches a quarter of its range. ``dark``: the reason why white is unknown
    if no image of the set does.
    """

    bright: bool = False
    dark: str | None = None


_accepted: ContextVar[Levels | None] = ContextVar("_accepted", default=None)


@contextmanager
def accept_dark() -> Iterator[Levels]:
    """Within this context, dark images are decoded too, and the levels of images are noted.

    An image is dark if it has more than 8 bits, is not black, and does not reach a quarter of its
    range. Only the whole set tells whether it shows darkness, or its white is another level.
    """
    levels = Levels()
    token = _accepted.set(levels)
    try:
        yield levels
    finally:
        _accepted.reset(token)


@dataclass(frozen=True)
class ImageTransform:
    """Converts every image to ``channels`` (1 or 3) and a square of ``size`` pixels.

    It crops the centred square of ``crop`` pixels, by default and at most the largest square, and
    resizes it, bicubic with antialiasing.
    """

    channels: int
    size: int
    crop: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of a transformed image."""
        return self.channels, self.size, self.size

    @property
    def nbytes(self) -> int:
        """Bytes of a transformed image."""
        return self.channels * self.size**2

    def __call__(self, x: Tensor) -> Tensor:
        """uint8 ``(..., C, H, W)``, C 1 or 3, to uint8 ``(..., channels, size, size)``."""
        if x.shape[-3] != self.channels:
            x = TF.rgb_to_grayscale(x) if self.channels == 1 else TF.grayscale_to_rgb(x)
        side = min(x.shape[-2:]) if self.crop is None else min(*x.shape[-2:], self.crop)
        if x.shape[-2:] != (side, side):
            x = TF.center_crop(x, [side, side])
        if side != self.size:
            bicubic = TF.InterpolationMode.BICUBIC
            x = TF.resize(x, [self.size, self.size], bicubic, antialias=True)
        return x


def decode(image: Image.Image, background: Colour) -> Tensor:
    """The first frame of an opened image, upright and opaque: uint8 ``(1 or 3, H, W)``.

    Transparent images are drawn over ``background``; grey of more than 8 bits is rounded to 8.
    Beside the image itself, it takes little more memory than the result.

    Raises:
        UnreadableImageError: the image cannot be decoded, has more than ``MAX_PIXELS``, exceeds
            its range, or is dark, outside of ``accept_dark``.
        OSError: the image cannot be read from the disk.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(
            f"{width} x {height} pixels, more than the limit of {MAX_PIXELS:,}"
        )
    try:
        with pixel_limit():
            white = _white(image)
            ImageOps.exif_transpose(image, in_place=True)
            if white is not None:
                _check_levels(image, white)
            return _to_tensor(image, white, background)
    except MemoryError:
        raise
    except Exception as error:
        # Decoders raise any kind of error for a broken file, such as one of seeking past its end.
        raise convert_decoder_error(error) from error


@contextmanager
def pixel_limit() -> Iterator[None]:
    """Pillow refuses more than ``MAX_PIXELS``, also in a tile or in an image inside of an icon."""
    before = Image.MAX_IMAGE_PIXELS
    # Pillow warns from this number on, and raises from twice as many.
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def convert_decoder_error(error: Exception) -> Exception:
    """The error itself if it comes from the disk, else an ``UnreadableImageError``."""
    if isinstance(error, Image.DecompressionBombError):
        return UnreadableImageError(f"more than the limit of {MAX_PIXELS:,} pixels")
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return error
    message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UnreadableImageError(message or type(error).__name__)


def _white(image: Image.Image) -> float | None:
    """The level of white of an image of more than 8 bits that is not loaded yet, or None.

    Its format fixes the level, but many programs write other levels: of a camera's 12 bits, or of 8
    bits as floats.
    """
    stored = [str(tile[3]) for tile in getattr(image, "tile", ())]
    if image.mode[0] == "F":
        return 1
    if image.mode[0] == "I":
        return 4095 if any("I;12" in each for each in stored) else 65535
    return UPPER_BITS if any(re.search(r"\w;16[BLN]", each) for each in stored) else None


def _check_levels(image: Image.Image, white: float) -> None:
    """Raise UnreadableImageError if levels exceed 0 and ``white``, or if the image is dark.

    An image that is black whatever white is passes.
    """
    ranges = []
    for strip in _strips(image):
        levels = np.asarray(strip)
        colours = levels[..., :-1] if strip.mode[-1] in "Aa" else levels
        ranges.append((float(colours.min()), float(colours.max())))
    low, high = np.min(ranges), np.max(ranges)
    rounding = white / 510
    in_range, dark = -rounding < low and high < white + rounding, rounding < high < white / 4
    unit = 257 if white == UPPER_BITS else 1
    reason = (
        f"levels from {low * unit:g} to {high * unit:g}, where white must be {white * unit}: "
        "save it with 8 bits"
    )
    accepted = _accepted.get()
    if not in_range or (dark and accepted is None):
        raise UnreadableImageError(reason)
    if accepted is not None:
        accepted.bright |= bool(high >= white / 4)
        if dark:
            accepted.dark = reason


def _strips(image: Image.Image) -> Iterator[Image.Image]:
    """The image in parts of its rows, from the top."""
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _to_8_bit_grey(image: Image.Image, white: float) -> Image.Image:
    levels = np.asarray(image)
    scaled = levels * (255 / white)
    grey = Image.fromarray(scaled.round().clip(0, 255).astype(np.uint8))
    key = image.info.get("transparency")
    if isinstance(key, int):
        opaque = np.where(levels == key, 0, 255).astype(np.uint8)
        grey.putalpha(Image.fromarray(opaque))
    return grey


def _remove_transparency(image: Image.Image, background: Colour) -> Image.Image:
    if not image.has_transparency_data:
        return image
    canvas = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")


def _to_tensor(image: Image.Image, white: float | None, background: Colour) -> Tensor:
    pixels, top = torch.empty(0), 0
    for strip in _strips(image):
        if white is not None and image.mode[0] in "IF":
            strip = _to_8_bit_grey(strip, white)
        strip = _remove_transparency(strip, background)
        rows = np.array(strip.convert("L" if strip.mode in ("1", "L") else "RGB"))
        rows = rows.reshape(*rows.shape[:2], -1).transpose(2, 0, 1)
        if not top:
            pixels = torch.empty(len(rows), image.height, image.width, dtype=torch.uint8)
        pixels[:, top : top + strip.height] = torch.from_numpy(rows)
        top += strip.height
    return pixels
