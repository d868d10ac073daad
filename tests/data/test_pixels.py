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
from gan_lightning.data.pixels import ImageTransform, UnreadableImageError, accept_dark, decode
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


def png_file(width, height, bits, kind, rows):
    """A PNG of these unpacked rows, each after its filter; ``kind`` is its colour type."""

    def chunk(name, content):
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


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
    image = grey16([[0, 257, 65535]], "I")
    assert decode(image, WHITE).tolist() == [[[0, 1, 255]]]


def floats(*levels):
    return Image.fromarray(np.array([levels], np.float32))


def test_floats_range_from_zero_to_one():
    assert decode(reopened(floats(0, 0.5, 1), "TIFF"), WHITE).tolist() == [[[0, 128, 255]]]
    # Resizing overshoots a little.
    assert decode(floats(-0.001, 0.5, 1.001), WHITE).tolist() == [[[0, 128, 255]]]


def png_of_16_bits(levels):
    """A PNG of ``levels`` ``(H, W, 2 to 4)``, which Pillow cannot write."""
    height, width, channels = levels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in levels.astype(">u2"))
    return png_file(width, height, 16, {2: 4, 3: 2, 4: 6}[channels], rows)


def colours16(white, channels):
    """A ramp from black to ``white`` in all colours; opaque, if there is alpha."""
    levels = np.linspace(0, white, 16).reshape(4, 4, 1).repeat(channels, axis=2)
    if channels != 3:
        levels[..., -1] = 65535
    return png_of_16_bits(levels)


UNKNOWN_RANGE = {
    "floats of 8 bits": (floats(0, 100, 255), "0 to 255, where white must be 1:"),
    "floats of a signed range": (floats(-1, 0, 1), "-1 to 1, where white must be 1:"),
    "floats that are almost black": (floats(0, 0.01), "0 to 0.01, where white must be 1:"),
    "not a number": (floats(0, 0.5, np.nan), "nan to nan"),
    "8 bits in 32": (grey16([[0, 255]], "I"), "0 to 255, where white must be 65535:"),
    "negative": (grey16([[-900, 65535]], "I"), "-900 to 65535"),
    "17 bits": (grey16([[0, 70000]], "I"), "0 to 70000"),
    "12 bits in 16": (grey16([[0, 4095]]), "0 to 4095, where white must be 65535:"),
    "14 bits in 16": (grey16([[0, 16383]]), "0 to 16383"),
    "colours of 12 bits in 16": (colours16(4095, 3), "0 to 3855, where white must be 65535:"),
    "12 bits with alpha": (colours16(4095, 4), "0 to 3855"),
    "grey of 12 bits with alpha": (colours16(4095, 2), "0 to 3855"),
}


@pytest.mark.parametrize(("image", "message"), UNKNOWN_RANGE.values(), ids=UNKNOWN_RANGE)
def test_levels_whose_white_is_unknown_are_refused(image, message):
    content = image.getvalue() if isinstance(image, io.BytesIO) else encoded(image, "TIFF")
    with pytest.raises(UnreadableImageError, match=f"^levels from .*{message}"):
        decode(open_image(io.BytesIO(content)), WHITE)


DARK = {
    "floats": (floats(0, 0.1, 0.2), [0, 26, 51], "0 to 0.2,"),
    "16 bits": (grey16([[0, 4000, 16000]]), [0, 16, 62], "0 to 16000,"),
    "colours": (png_of_16_bits(np.array([[[0] * 3, [9999] * 3]])), [0, 39], "0 to 10023,"),
}


@pytest.mark.parametrize(("image", "levels", "message"), DARK.values(), ids=DARK)
def test_a_dark_image_is_decoded_where_its_set_is_judged(image, levels, message):
    content = image.getvalue() if isinstance(image, io.BytesIO) else encoded(image, "TIFF")
    with accept_dark() as noted:
        x = decode(open_image(io.BytesIO(content)), WHITE)
    assert x[0].tolist() == [levels]
    assert not noted.bright
    assert message in noted.dark
    with pytest.raises(UnreadableImageError, match=message):
        decode(open_image(io.BytesIO(content)), WHITE)


@pytest.mark.parametrize(
    ("image", "bright"),
    [
        (floats(0, 0.25), True),
        (grey16([[0, 16384]]), True),
        (colours16(16384, 4), True),
        (floats(0, 0), False),
        (grey16([[0, 0]]), False),
        (picture(4, 4), False),
        (Image.new("L", (4, 4), 9), False),
    ],
)
def test_a_quarter_of_the_range_of_more_than_8_bits_is_noted(image, bright):
    content = image.getvalue() if isinstance(image, io.BytesIO) else encoded(image, "TIFF")
    with accept_dark() as noted:
        decode(open_image(io.BytesIO(content)), WHITE)
    assert (noted.bright, noted.dark) == (bright, None)


@pytest.mark.parametrize("image", [floats(0, 2), floats(-1, 0.1), grey16([[0, 70000]], "I")])
def test_levels_out_of_range_are_refused_whatever_the_set_is(image):
    with accept_dark() as noted, pytest.raises(UnreadableImageError, match=r"^levels from"):
        decode(reopened(image, "TIFF"), WHITE)
    assert (noted.bright, noted.dark) == (False, None)


@pytest.mark.parametrize("image", [floats(0, 0), grey16([[0, 0]]), grey16([[0, 0]], "I")])
def test_black_is_black_whatever_white_is(image):
    assert decode(reopened(image, "TIFF"), WHITE).tolist() == [[[0, 0]]]


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colours_of_sixteen_bits_keep_the_upper_eight(channels):
    ramp = np.linspace(0, 65535, 16).astype(np.uint16) >> 8
    x = decode(open_image(colours16(65535, channels)), WHITE)
    assert x.flatten(1).tolist() == [ramp.tolist()] * 3


def tiff_of_12_bits(levels):
    """An uncompressed TIFF with one row of grey, two levels in three bytes."""
    pixels = b"".join(((a << 12) + b).to_bytes(3) for a, b in zip(*[iter(levels)] * 2, strict=True))
    tags = {256: len(levels), 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries.append(struct.pack("<HHII", 279, 4, 1, len(pixels)))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory


DECLARED = {
    "PGM": b"P5 4 1 4095\n" + np.array([0, 1365, 2048, 4095], ">u2").tobytes(),
    "PPM": b"P6 4 1 4095\n" + np.array([0, 1365, 2048, 4095], ">u2").repeat(3).tobytes(),
    "TIFF": tiff_of_12_bits([0, 1365, 2048, 4095]),
}


@pytest.mark.parametrize("content", DECLARED.values(), ids=DECLARED)
def test_twelve_bits_that_a_file_declares_are_scaled(content):
    x = decode(open_image(io.BytesIO(content)), WHITE)
    assert x[0].tolist() == [[0, 85, pytest.approx(127.5, abs=0.5), pytest.approx(255, abs=1)]]


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


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I", "F"]
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_an_image_is_the_same_in_strips(monkeypatch, mode, orientation):
    if mode[0] in "IF":
        levels = np.linspace(0, 1 if mode == "F" else 65535, 7 * 9).reshape(7, 9)
        image = Image.fromarray(
            levels.astype({"F": np.float32, "I": np.int32}.get(mode, np.uint16))
        )
    else:
        image = picture(9, 7).convert("RGBA")
        image.putalpha(picture(9, 7, seed=1).convert("L"))
        image = image.convert(mode)

    def decoded():
        turned = image.copy()
        turned.getexif()[0x0112] = orientation
        return decode(turned, WHITE)

    whole = decoded()
    monkeypatch.setattr(pixels, "STRIP_PIXELS", 20)
    assert torch.equal(decoded(), whole)
    assert whole.shape[1:] == ((7, 9) if orientation == 1 else (9, 7))


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
    return png_file(width, height, 8, 2, bytes(1000))


def test_a_decompression_bomb_is_rejected_before_it_is_decoded():
    side = int(pixels.MAX_PIXELS**0.5) + 1
    with pytest.raises(UnreadableImageError, match="more than the limit of 67,108,864 pixels"):
        open_image(png_of(side, side))
    with pytest.raises(UnreadableImageError, match=f"{side} x {side} pixels, more than the limit"):
        decode(Image.open(png_of(side, side)), WHITE)


@pytest.mark.parametrize(
    ("width", "height"), [(8192, 6144), (8688, 5792), (9504, 6336), (8192, 8192)]
)
def test_the_images_of_common_cameras_are_not_too_large(width, height):
    image = open_image(png_of(width, height))
    assert image.size == (width, height)
    # It is decoded, up to its end: it contains fewer pixels than it declares.
    with pytest.raises(UnreadableImageError, match="truncated"):
        decode(image, WHITE)


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
