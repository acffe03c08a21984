"""Image files as pixels."""

import logging
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from qlab.core.errors import QlabError

log = logging.getLogger(__name__)
_REFUSED = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}  # more than 8 bits a channel


@cache  # once per image, not once per pass
def _say_conversion(name: str, mode: str) -> None:
    log.warning("%s was converted from %s to RGB.", name, mode)


def read_image(path: Path) -> np.ndarray:
    """An image as uint8 RGB [h, w, 3].

    Other modes are converted, with a line in the log; 16-bit and float images are refused, because
    their range would have to be guessed.
    QlabError: no file, no image, a damaged one, more than 8 bits a channel.
    """
    try:
        with Image.open(path) as image:
            deep = image.mode in _REFUSED or ";16" in str(image.tile)  # 48-bit PNGs load as RGB
            image.load()
            if deep:
                raise QlabError(f"{path} has more than 8 bits a channel; convert it to 8.")
            if image.mode != "RGB":
                _say_conversion(path.name, image.mode)
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError as error:
        raise QlabError(f"There is no image at {path}.") from error
    except Image.DecompressionBombError as error:
        raise QlabError(f"{path} has more pixels than are read ({error}).") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise QlabError(f"{path} is truncated or no image ({error}); get it again.") from error
