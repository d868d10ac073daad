"""Decoding images of every kind, and transforming their pixels to one size."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from formats import encoded, picture
from PIL import Image

from gan_lightning.data import pixels
from gan_lightning.data.pixels import ImageTransform, UnreadableImageError, decode
from gan_lightning.data.sources import open_image

WHITE = (255, 255, 255)
RGB = picture(6, 4)


def reopened(image, kind, **options):
    return Image.open(io.BytesIO(encoded(image, kind, **options)))


def as_tensor(image):
    array = np.array(image)
    array = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(array).permute(2, 0, 1)


def grey16(values, mode="I;16"):
    return Image.fromarray(np.array(values, np.uint16 if mode == "I;16" else np.int32))


# Kinds of images


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "TGA", "ICO", "WEBP"])
def test_colours_are_decoded_exactly_in_every_format(kind):
    image = picture(16, 16).quantize(16).convert("RGB")
    options = {"lossless": True} if kind == "WEBP" else {}
    assert torch.equal(decode(reopened(image, kind, **options), WHITE), as_tensor(image))


def test_grey_stays_one_channel():
    image = RGB.convert("L")
    assert torch.equal(decode(reopened(image, "PNG"), WHITE), as_tensor(image))


def test_black_and_white_become_0_and_255():
    image = Image.fromarray(np.array([[0, 255, 0], [255, 0, 255]], np.uint8)).convert("1")
    assert decode(reopened(image, "PNG"), WHITE).tolist() == [[[0, 255, 0], [255, 0, 255]]]


def test_sixteen_bits_are_rounded_to_eight():
    levels = [[0, 128, 129, 257, 65535]]
    assert decode(reopened(grey16(levels), "PNG"), WHITE).tolist() == [[[0, 0, 1, 1, 255]]]


def test_sixteen_bit_images_may_have_a_transparent_level():
    image = reopened(grey16([[0, 300, 65535]]), "PNG", transparency=300)
    assert decode(image, (10, 20, 30))[:, 0].T.tolist() == [[0] * 3, [10, 20, 30], [255] * 3]


def test_thirty_two_bits_are_treated_as_sixteen():
    image = grey16([[-5, 0, 257, 65535, 70000]], "I")
    assert decode(image, WHITE).tolist() == [[[0, 0, 1, 255, 255]]]


def test_floats_range_from_zero_to_one():
    image = Image.fromarray(np.array([[-1, 0, 0.5, 1, 2, np.nan]], np.float32))
    assert decode(reopened(image, "TIFF"), WHITE).tolist() == [[[0, 0, 128, 255, 255, 0]]]


def test_cmyk_is_converted_to_rgb():
    image = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    red = decode(reopened(image, "TIFF"), WHITE)
    assert red[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "L with one", "RGB with one"])
def test_transparent_pixels_show_the_background(mode):
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (255, 255, 255, 0))
    if mode == "P":
        image = reopened(image, "GIF")
    elif mode == "PA":
        image = image.convert("PA")
    elif mode.endswith("with one"):
        key = 255 if mode[0] == "L" else (255, 255, 255)
        image = reopened(image.convert(mode.split()[0]), "PNG", transparency=key)
    else:
        image = reopened(image.convert(mode), "PNG")
    shown = decode(image, (10, 20, 30))
    assert shown[:, 0, 0].tolist() == [0, 0, 0]
    assert shown[:, 0, 1].tolist() == [10, 20, 30]


def test_half_transparent_pixels_are_blended_with_the_background():
    image = Image.new("RGBA", (1, 1), (200, 0, 0, 128))
    assert decode(image, (0, 100, 0)).flatten().tolist() == [100, 50, 0]


TURNS = [
    None,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("orientation", "turn"), list(enumerate(TURNS, start=1)))
def test_the_exif_orientation_is_applied(orientation, turn, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = reopened(RGB, kind, exif=exif.tobytes())
    stored = image.convert("RGB")
    upright = stored if turn is None else stored.transpose(turn)
    assert torch.equal(decode(image, WHITE), as_tensor(upright))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_only_the_first_frame_is_decoded(kind):
    first, second = Image.new("RGB", (4, 4), (0, 0, 0)), Image.new("RGB", (4, 4), (255, 255, 255))
    options = {"lossless": True} if kind == "WEBP" else {}
    image = reopened(first, kind, save_all=True, append_images=[second], **options)
    assert image.n_frames == 2
    assert decode(image, WHITE).max() == 0


# Damaged images


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_a_truncated_image_is_unreadable(kind):
    content = encoded(picture(64, 64), kind)
    with pytest.raises(UnreadableImageError):
        decode(open_image(io.BytesIO(content[: len(content) * 2 // 3])), WHITE)


def test_a_png_with_a_damaged_chunk_is_unreadable():
    content = bytearray(encoded(picture(64, 64), "PNG"))
    content[200] ^= 255
    with pytest.raises(UnreadableImageError):
        decode(Image.open(io.BytesIO(bytes(content))), WHITE)


def png_of(width, height):
    """A PNG that declares this size but contains only a few zeros as pixels."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    parts = chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_a_decompression_bomb_is_rejected_before_it_is_decoded():
    side = int(pixels.MAX_PIXELS**0.5) + 1
    with pytest.raises(
        UnreadableImageError, match=f"{side} x {side} pixels, more than the limit of 90,000"
    ):
        decode(Image.open(png_of(side, side)), WHITE)


def test_disk_errors_do_not_make_an_image_unreadable(monkeypatch):
    image = reopened(RGB, "PNG")

    def fail(*args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(image, "load", fail)
    with pytest.raises(OSError, match="Input/output") as error:
        decode(image, WHITE)
    assert not isinstance(error.value, UnreadableImageError)


# ImageTransform


@pytest.mark.parametrize(
    ("before", "after"), [((37, 53), 16), ((200, 120), 64), ((10, 10), 32), ((9, 30), 24)]
)
def test_resizing_equals_pillow_bicubic_on_the_centre_square(before, after):
    image = picture(*before, seed=3)
    noise = np.random.default_rng(0).integers(-20, 21, np.array(image).shape)
    image = Image.fromarray((np.array(image) + noise).clip(0, 255).astype(np.uint8))
    side = min(before)
    left, top = (round((length - side) / 2) for length in before)
    middle = image.crop((left, top, left + side, top + side))
    expected = as_tensor(middle.resize((after, after), Image.Resampling.BICUBIC))
    found = ImageTransform(3, after)(as_tensor(image))
    assert (found.int() - expected.int()).abs().max() <= 1


def test_a_checkerboard_shrinks_to_grey():
    board = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8).repeat(32, 32)[None]
    small = ImageTransform(1, 8)(board)[:, 1:-1, 1:-1]
    assert ((small > 120) & (small < 135)).all()


def test_images_of_the_target_shape_are_returned_unchanged():
    x = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    assert ImageTransform(3, 8)(x) is x


@pytest.mark.parametrize(("crop", "cut"), [(None, 5), (4, 4), (9, 5)])
def test_the_crop_is_a_centred_square_no_larger_than_the_image(crop, cut):
    x = torch.arange(35, dtype=torch.uint8).view(1, 5, 7)
    top, left = round((5 - cut) / 2), round((7 - cut) / 2)
    assert torch.equal(ImageTransform(1, cut, crop)(x), x[:, top : top + cut, left : left + cut])


def test_grey_is_repeated_to_rgb_and_rgb_is_weighted_to_grey():
    grey = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8)
    assert torch.equal(ImageTransform(3, 4)(grey), grey.expand(-1, 3, -1, -1))
    colours = torch.eye(3, dtype=torch.uint8).mul(255).view(3, 3, 1, 1)
    # ITU-R BT.601.
    assert ImageTransform(1, 1)(colours).flatten().tolist() == [
        pytest.approx(weight * 255, abs=1) for weight in (0.299, 0.587, 0.114)
    ]


def test_one_image_is_transformed_like_a_batch():
    batch = torch.randint(0, 256, (3, 3, 20, 30), dtype=torch.uint8)
    transform = ImageTransform(1, 16, 18)
    assert torch.equal(transform(batch), torch.stack([transform(image) for image in batch]))
    assert transform.shape == (1, 16, 16)
    assert transform.nbytes == 256
