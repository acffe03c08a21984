"""CIFAR-10 as its author gives it: a folder of Python pickles, or some of them.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. A pickle is a program, so
these are read by an unpickler that knows the names of numpy's arrays and nothing else.
"""

import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy._core import multiarray

from qlab.core.errors import QlabError
from qlab.core.labelled_images import LabelledImages

log = logging.getLogger(__name__)

FOLDER = "cifar-10-batches-py"  # of the official archive
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SPLITS = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
# What the official files ask for, by the names of numpy 1 and 2.
_ADMITTED = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
_ADMITTED |= {
    (f"numpy.{core}.multiarray", "_reconstruct"): multiarray._reconstruct
    for core in ("core", "_core")
}


class _Unpickler(pickle.Unpickler):
    """Makes numpy arrays and built-in containers; refuses other names before they are looked up."""

    def find_class(self, module: str, name: str) -> Callable:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ADMITTED[module, name]


def read_batch(path: Path) -> LabelledImages:
    """One batch file, images [n, 32, 32, 3].

    QlabError: no pickle or one that is not a CIFAR-10 batch, refused before anything in it runs.
    """
    try:
        with path.open("rb") as stream:
            batch = _Unpickler(stream, encoding="bytes").load()
        planes = batch[b"data"].reshape(-1, 3, 32, 32)  # one colour after the other
        images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        return LabelledImages(images, np.array(batch[b"labels"], np.int64), CLASSES)
    except Exception as error:  # damaged pickles raise nearly every kind
        raise QlabError(
            f"{path} is no CIFAR-10 batch, and nothing in it was run: {error or 'it ends early'} "
            f"({type(error).__name__}). Get the official cifar-10-python.tar.gz again."
        ) from error


def load(folder: Path, split: str) -> LabelledImages:
    """The split `train` or `test` of the official layout in `folder` or in the folder above it;
    missing batches are said, and the others used. QlabError: none, or see `read_batch`."""
    folder = folder if folder.name == FOLDER else folder / FOLDER
    there = [name for name in SPLITS[split] if (folder / name).is_file()]
    missing = ", ".join(name for name in SPLITS[split] if name not in there)
    if not there:
        raise QlabError(
            f"There is no {missing} in {folder}, so there are no images to {split} on; unpack the "
            "official cifar-10-python.tar.gz there, or leave the parameter 'data' empty."
        )
    if missing:
        log.warning("CIFAR-10 in %s lacks %s; used without.", folder.name, missing)
    found = [read_batch(folder / name) for name in there]
    parts = ([getattr(batch, part) for batch in found] for part in ("images", "labels"))
    return LabelledImages(*map(np.concatenate, parts), CLASSES)
