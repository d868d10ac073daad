"""Decoding images of any kind, and resizing them to one shape."""

import errno
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

Colour = tuple[int, int, int]

#: Limit for an image, about 9,500 x 9,500: a small file can decode to more than the memory.
MAX_PIXELS = 90_000_000
#: Errors of the disk, the network or the system, which no decoder raises for a broken file.
DISK_ERRORS = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV),
    *(errno.ENXIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EHOSTDOWN, errno.ETIMEDOUT),
}


class UnreadableImageError(ValueError):
    """The content is not an image, or the image is incomplete or too large."""


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

    Transparent images are drawn over ``background``; 16-bit grey is rounded to 8 bits.

    Raises:
        UnreadableImageError: the image cannot be decoded, or has more than ``MAX_PIXELS``.
        OSError: the image cannot be read from the disk.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(
            f"{width} x {height} pixels, more than the limit of {MAX_PIXELS:,}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _to_tensor(
                _remove_transparency(_to_8_bit_grey(ImageOps.exif_transpose(image)), background)
            )
    except MemoryError:
        raise
    except Exception as error:
        # Decoders raise any kind of error for a broken file, such as one of seeking past its end.
        raise convert_decoder_error(error) from error


def convert_decoder_error(error: Exception) -> Exception:
    """The error itself if it comes from the disk, else an ``UnreadableImageError``."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return error
    message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UnreadableImageError(message or type(error).__name__)


def _to_8_bit_grey(image: Image.Image) -> Image.Image:
    """Convert grey of more bits, from 0 to 65535 or, for floats, from 0 to 1, to 8-bit grey."""
    if image.mode[0] not in "IF":
        return image
    levels = np.asarray(image)
    scaled = levels * 255 if image.mode == "F" else levels / 257
    grey = Image.fromarray(np.nan_to_num(scaled).round().clip(0, 255).astype(np.uint8))
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


def _to_tensor(image: Image.Image) -> Tensor:
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()
