"""Images of every kind become RGB of 8 bits, or one clear sentence."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from qlab.core.errors import QlabError
from qlab.images.photos import AsStored, header, read_image


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "1"])
def test_other_colour_modes_are_converted(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new(mode, (6, 4)).save(path)
    image = read_image(path)
    assert image.shape == (4, 6, 3) and image.dtype == np.uint8


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_images_of_more_than_eight_bits_are_refused(tmp_path, kind):
    Image.fromarray(np.full((4, 4), 7, kind)).save(tmp_path / "a.tif")
    with pytest.raises(QlabError, match="more than 8 bits a channel"):
        read_image(tmp_path / "a.tif")


def test_truncated_missing_and_endless_images_are_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.effect_noise((64, 64), 50).convert("RGB").save(path)
    whole = path.read_bytes()
    claim = b"IHDR" + struct.pack(">II", 60_000, 60_000) + whole[24:29]
    endless = whole[:12] + claim + struct.pack(">I", zlib.crc32(claim)) + whole[33:]
    for content in (whole[:600], b"hello", endless, None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(QlabError, match="a.png is truncated or no image"):
            read_image(path)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(10))
def test_photos_are_turned_as_viewers_turn_them(tmp_path, kind, orientation):
    """Six fields of different colour; orientations 0 and 9 do not exist."""
    path, exif = tmp_path / f"a.{kind}", Image.Exif()
    exif[0x0112] = orientation
    fields = np.array(
        [[[250, 0, 0], [0, 250, 0], [0, 0, 250]], [[0] * 3, [250] * 3, [0, 250, 250]]]
    )
    stored = Image.fromarray(fields.astype(np.uint8).repeat(16, 0).repeat(16, 1))
    stored.save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)
    assert expected.shape[:2] == ((48, 32) if 5 <= orientation <= 8 else (32, 48))
    if kind == "tif":  # Pillow itself turns it
        assert header(path) == (expected.shape[1::-1], 1)
    else:
        assert header(path) == ((48, 32), orientation if 2 <= orientation <= 8 else 1)
        with Image.open(path) as image:
            np.testing.assert_array_equal(read_image(AsStored(path)), image.convert("RGB"))
