"""Labelled images from a folder: CIFAR-10 as its author distributes it, or a folder per class.

CIFAR-10 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009) is a folder of
Python pickles. A pickle is a program, so these are read by an unpickler that knows the names of
numpy's arrays and nothing else.
"""

import logging
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy._core import multiarray
from PIL import Image, ImageOps

from qlab.core.errors import QlabError
from qlab.images.labelled import LabelledImages
from qlab.images.photos import read_image

log = logging.getLogger(__name__)

CIFAR = "cifar-10-batches-py"  # folder of the official archive
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SPLITS = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
# What the official files ask for, by the names of numpy 1 and 2.
_ADMITTED = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype} | {
    (f"numpy.{core}.multiarray", "_reconstruct"): multiarray._reconstruct
    for core in ("core", "_core")
}
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")  # files that are read as images
JUDGED = ("val", "valid", "validation", "test")  # possible names of the folder of test images
CROP = 0.875  # of the shorter side: 224 of 256 pixels (He et al., arXiv 1512.03385, section 3.4)


class _Unpickler(pickle.Unpickler):
    """Makes numpy arrays and built-in containers; refuses other names before they are looked up."""

    def find_class(self, module: str, name: str) -> Callable:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ADMITTED[module, name]


def read_batch(path: Path) -> LabelledImages:
    """Read a batch file of CIFAR-10; its images are [n, 32, 32, 3].

    QlabError: it is no pickle, or no CIFAR-10 batch; it is refused before anything in it runs.
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


def cifar10(folder: Path, split: str) -> LabelledImages:
    """Read the split `train` or `test`; `folder` is CIFAR's official one or the one above. Missing
    batches are logged, and the others used. QlabError: all are missing, or see `read_batch`."""
    folder = folder if folder.name == CIFAR else folder / CIFAR
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


def classes(
    folder: Path, size: tuple[int, int], known: Sequence[str] = (), limit: int = 0
) -> LabelledImages:
    """Read at most `limit` images from class folders: of each the centre, CROP times the largest
    part with the aspect ratio of `size` (height, width), resized to it in one bilinear step.

    Labels index the sorted class names, or `known`, those of another folder. Each class's first
    image comes before any second one, so that any first part is as balanced as the folder allows.
    QlabError: no class folder, an empty one, one that `known` lacks, a damaged image.
    """
    visible = {inner.name: inner.glob("[!.]*") for inner in sorted(folder.glob("[!.]*/"))}
    found = {n: sorted(f for f in v if f.suffix.lower() in SUFFIXES) for n, v in visible.items()}
    names = tuple(known or found)
    if not found:
        raise QlabError(f"{folder} should hold a folder per class with its images; it has none.")
    if unknown := [name for name in found if name not in names]:
        raise QlabError(
            f"{folder} has a folder '{unknown[0]}', which is not among the {len(names)} classes "
            f"of training (first '{names[0]}'); rename it or take it away."
        )
    if empty := [name for name, files in found.items() if not files]:
        raise QlabError(
            f"The class folder '{empty[0]}' in {folder} has no images ({', '.join(SUFFIXES)}); "
            "fill it, or remove it if it is no class."
        )
    files = sorted((i, names.index(name), f) for name in found for i, f in enumerate(found[name]))
    how = size[::-1], Image.Resampling.BILINEAR, (1 - CROP) / 2
    images = [
        np.asarray(ImageOps.fit(Image.fromarray(read_image(file)), *how))
        for _, _, file in files[: limit or None]
    ]
    labels = np.array([label for _, label, _ in files[: limit or None]])
    return LabelledImages(np.stack(images), labels, names)


def judged(folder: Path) -> Path:
    """The folder of test images beside `train/`: the first of JUDGED. QlabError: there is none."""
    for name in JUDGED:
        if (folder / name).is_dir():
            return folder / name
    raise QlabError(f"{folder} has train/, but none of {', '.join(JUDGED)} with images that judge.")
