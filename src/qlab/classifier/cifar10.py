"""CIFAR-10 as its author gives it: a folder of Python pickles, or some of them.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. A pickle is a program, so
these are read by an unpickler that knows the names of numpy's arrays and nothing else: no other
pickle gets as far as running anything.
"""

import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core import multiarray

from qlab.core import fetch
from qlab.core.errors import QlabError
from qlab.core.labelled_images import LabelledImages

log = logging.getLogger(__name__)

FOLDER = "cifar-10-batches-py"  # of the official archive
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
SIZE = 32  # pixels, width and height
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))  # files with training images
SPLITS = {"train": TRAIN, "test": ("test_batch",)}  # files of each split
# What the official files ask for, by the names of numpy 1 and 2.
_ADMITTED: dict[tuple[str, str], Callable] = {
    ("numpy.core.multiarray", "_reconstruct"): multiarray._reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): multiarray._reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _Unpickler(pickle.Unpickler):
    """Makes numpy arrays and built-in containers; refuses every other name before it is looked up.

    numpy's own object arrays could hold further objects, but these too only of admitted kinds.
    """

    def find_class(self, module: str, name: str) -> Callable:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ADMITTED[module, name]


def read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """One batch file: images uint8 [n, 32, 32, 3] RGB and labels int64 [n].

    QlabError: no pickle or one that is not a CIFAR batch (refused before anything in it runs),
    wrong sizes, labels that are no classes.
    """
    try:
        with path.open("rb") as stream:
            batch: Any = _Unpickler(stream, encoding="bytes").load()
    except Exception as error:  # damaged pickles raise nearly every kind
        raise QlabError(
            f"{path} is no CIFAR-10 batch, and nothing in it was run: {error or 'it ends early'}. "
            "Get the official cifar-10-python.tar.gz again."
        ) from error
    data = batch.get(b"data") if isinstance(batch, dict) else None
    labels = batch.get(b"labels") if isinstance(batch, dict) else None
    if not isinstance(data, np.ndarray) or not isinstance(labels, list):
        raise QlabError(
            f"{path} is no CIFAR-10 batch: expected a dictionary with the array 'data' and the "
            "list 'labels'. (CIFAR-100 has 'fine_labels' instead.)"
        )
    right = all(isinstance(x, int) and 0 <= x < len(CLASSES) for x in labels)
    if data.dtype != np.uint8 or data.shape != (len(labels), 3 * SIZE**2) or not right:
        raise QlabError(
            f"{path}: 'data' is {data.dtype} {list(data.shape)} with {len(labels)} labels; a "
            f"CIFAR-10 image is a row of {3 * SIZE**2} uint8 numbers with a label of 0 to 9."
        )
    planes = data.reshape(-1, 3, SIZE, SIZE)  # one colour after the other
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.array(labels, np.int64)


def load(folder: Path, split: str) -> LabelledImages:
    """The split `train` or `test` of the official layout in `folder` or in the folder above it.

    Training batches that are missing are said, and the others used without them. QlabError: no
    such folder, no batch of the split, or one that `read_batch` refuses.
    """
    folder = folder if folder.name == FOLDER else folder / FOLDER
    if not folder.is_dir():
        raise QlabError(
            f"There is no folder {FOLDER} in {folder.parent}; unpack the official "
            "cifar-10-python.tar.gz there, or leave the parameter empty in the profile full, which "
            "downloads it."
        )
    there = [name for name in SPLITS[split] if (folder / name).is_file()]
    missing = [name for name in SPLITS[split] if name not in there]
    if not there:
        raise QlabError(
            f"{folder} has none of {', '.join(missing)}, so there are no images to {split} on; "
            "unpack the official cifar-10-python.tar.gz there."
        )
    if missing:
        log.warning("CIFAR-10 in %s lacks %s; used without.", folder.name, ", ".join(missing))
    images, labels = zip(*(read_batch(folder / name) for name in there), strict=True)
    return LabelledImages(np.concatenate(images), np.concatenate(labels), CLASSES)


def downloaded() -> Path:
    """The official archive's folder, downloaded once (170 MB) and checked by its md5 sum."""
    return fetch.fetch(*fetch.CIFAR10, unpack=True) / FOLDER
