"""Worse copies of a set of images: does a classifier hold where its images go bad?"""

from collections.abc import Iterator

import numpy as np

from qlab.core.corruptions import KINDS, STRENGTHS, corrupt
from qlab.core.errors import QlabError


def names() -> list[str]:
    """All corruptions by name, `noise1` to `jpeg3`: a kind and its strength."""
    return [f"{kind}{strength}" for kind in KINDS for strength in STRENGTHS]


def corrupted(images: np.ndarray, name: str) -> np.ndarray:
    """Worse copies of RGB images, uint8 [n, h, w, 3]; `name` one of `names()`.

    Noise differs from image to image and depends on the image's place alone, so that all models
    see the same pixels. QlabError for another name.
    """
    if name not in names():
        raise QlabError(f"There is no corruption '{name}'; there are {', '.join(names())}.")
    kind, strength = name[:-1], int(name[-1])
    return np.stack([corrupt(image, kind, strength, seed) for seed, image in enumerate(images)])


def corrupted_sets(images: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Each corruption's name and its copies of the images, uint8 [n, h, w, 3], a set at a time."""
    return ((name, corrupted(images, name)) for name in names())
