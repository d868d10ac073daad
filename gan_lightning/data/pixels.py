"""Pictures of any kind to pixels, and pixels to one size."""

import errno
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

Colour = tuple[int, int, int]

#: What a picture may hold, about 9,500 x 9,500: a small file can unpack to more than the memory.
MAX_PIXELS = 90_000_000
#: What the disk, the network or the system says, and no decoder of a broken file.
DISK_ERRORS = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV),
    *(errno.ENXIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EHOSTDOWN, errno.ETIMEDOUT),
}


class UnreadableImageError(ValueError):
    """What is read is not a picture, not all of one, or too large a one."""


@dataclass(frozen=True)
class Form:
    """What every picture is brought to: ``channels`` (1 or 3) and a square of ``size`` pixels.

    The centred square of ``crop`` pixels is cut out, by default and at most the largest, and
    resized, bicubic with antialiasing.
    """

    channels: int
    size: int
    crop: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of a picture."""
        return self.channels, self.size, self.size

    @property
    def nbytes(self) -> int:
        """What a picture takes."""
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
    """The first frame of an opened picture, upright and opaque: uint8 ``(1 or 3, H, W)``.

    Transparent pictures are laid on ``background``; 16 bits of grey are rounded to 8.

    Raises:
        UnreadableImageError: it cannot be decoded, or holds more than ``MAX_PIXELS``.
        OSError: the disk does not hand it out.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(
            f"{width} x {height} pixels, more than the {MAX_PIXELS:,} that are read"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _pixels(_opaque(_eight_bits(ImageOps.exif_transpose(image)), background))
    except MemoryError:
        raise
    except Exception as error:
        # The decoders raise what they please on a broken file, seeking where nothing is included.
        raise unreadable(error) from error


def unreadable(error: Exception) -> Exception:
    """What an error of a decoder means: itself where it is the disk's, or an unreadable picture."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return error
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UnreadableImageError(said or type(error).__name__)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of more bits as grey of 8, from 0 to 65535 or, floats, from 0 to 1."""
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


def _opaque(image: Image.Image, background: Colour) -> Image.Image:
    if not image.has_transparency_data:
        return image
    canvas = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")


def _pixels(image: Image.Image) -> Tensor:
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()
