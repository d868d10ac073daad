"""Pictures of any kind to pixels, and pixels to one size."""

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

    Transparent pictures are laid on ``background``; more than 8 bits a channel are rounded to 8.

    Raises:
        UnreadableImageError: it cannot be decoded, or holds more than ``MAX_PIXELS``.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(
            f"{width} x {height} pixels, more than the {MAX_PIXELS:,} that are read"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _pixels(_opaque(ImageOps.exif_transpose(image), background))
    except MemoryError:
        raise
    except OSError as error:
        if error.errno is not None:  # the disk's word, not the picture's
            raise
        raise UnreadableImageError(str(error) or type(error).__name__) from error
    except Exception as error:
        # The decoders raise what they please on a broken file.
        raise UnreadableImageError(str(error) or type(error).__name__) from error


def _opaque(image: Image.Image, background: Colour) -> Image.Image:
    if not image.has_transparency_data:
        return image
    canvas = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")


def _pixels(image: Image.Image) -> Tensor:
    match image.mode:
        case "1" | "L":
            levels = np.asarray(image.convert("L"))
        case "F":  # from 0 to 1
            levels = _to_bytes(np.asarray(image) * 255)
        case mode if mode.startswith("I"):  # from 0 to 65535
            levels = _to_bytes(np.asarray(image) / 257)
        case _:
            levels = np.asarray(image.convert("RGB"))
    pixels = torch.from_numpy(np.array(levels))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def _to_bytes(levels: np.ndarray) -> np.ndarray:
    return np.nan_to_num(levels).round().clip(0, 255).astype(np.uint8)
