"""Image files as pixels."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from qlab.core.errors import QlabError

_REFUSED = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}  # more than 8 bits per channel
_ORIENTATION = 0x0112  # number of the EXIF tag
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


class AsStored(type(Path())):
    """Path of a photo whose pixels are read as stored, whatever its EXIF orientation says."""


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except _BROKEN as error:
        raise QlabError(f"{path} is truncated or no image ({error}); get it again.") from error


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 (as stored) also if there is none or it cannot be read."""
    with contextlib.suppress(Exception):  # damaged EXIF raises errors of many kinds
        found = image.getexif().get(_ORIENTATION)
        return found if found in range(2, 9) else 1
    return 1


def header(path: Path) -> tuple[tuple[int, int], int]:
    """An image's width and height as stored, in pixels, and its EXIF orientation, 1 to 8. QlabError
    as in `read_image`."""
    with _opened(path) as image:
        return image.size, 1 if image.format == "TIFF" else _orientation(image)  # Pillow turns it


def read_image(path: Path) -> np.ndarray:
    """An image as uint8 RGB [h, w, 3], turned by EXIF as viewers do it (unless it is `AsStored`).
    QlabError: the file is missing, damaged or no image, or it has more than 8 bits per channel,
    whose range would have to be guessed."""
    with _opened(path) as image:
        deep = image.mode in _REFUSED or ";16" in str(image.tile)  # 48-bit PNGs load as RGB
        pixels = image.convert("RGB")
        if deep:
            raise QlabError(f"{path} has more than 8 bits a channel; convert it to 8.")
        if isinstance(path, AsStored):
            return np.asarray(pixels)
        pixels.info.clear()  # exif_transpose fails on bad tags: give it only the orientation
        pixels.getexif()[_ORIENTATION] = _orientation(image)
        return np.asarray(ImageOps.exif_transpose(pixels))
