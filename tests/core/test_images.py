"""Images of every kind become RGB of 8 bits, or one clear sentence."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from qlab.core.errors import QlabError
from qlab.core.images import read_image


def test_an_image_of_endless_size_is_refused(tmp_path):
    """A few bytes that claim 60,000 x 60,000 pixels."""
    path = tmp_path / "a.png"
    Image.new("RGB", (1, 1)).save(path)
    claim = b"IHDR" + struct.pack(">II", 60_000, 60_000) + path.read_bytes()[24:29]
    whole = path.read_bytes()
    path.write_bytes(whole[:12] + claim + struct.pack(">I", zlib.crc32(claim)) + whole[33:])
    with pytest.raises(QlabError, match="has more pixels than are read"):
        read_image(path)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "1"])
def test_other_colour_modes_are_converted_and_said(tmp_path, mode, caplog):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new(mode, (6, 4)).save(path)
    image = read_image(path)
    assert image.shape == (4, 6, 3) and image.dtype == np.uint8
    assert f"was converted from {mode} to RGB" in caplog.text


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_images_of_more_than_eight_bits_are_refused(tmp_path, kind):
    Image.fromarray(np.full((4, 4), 7, kind)).save(tmp_path / "a.tif")
    with pytest.raises(QlabError, match="more than 8 bits a channel"):
        read_image(tmp_path / "a.tif")


def test_truncated_and_missing_images_are_refused(tmp_path):
    path = tmp_path / "a.jpg"
    with pytest.raises(QlabError, match="There is no image at"):
        read_image(path)
    Image.effect_noise((64, 64), 50).convert("RGB").save(path)
    for content in (path.read_bytes()[:600], b"hello"):
        path.write_bytes(content)
        with pytest.raises(QlabError, match="is truncated or no image"):
            read_image(path)
