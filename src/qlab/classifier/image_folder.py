"""An ImageNet-style folder: a folder per class, the images of that class in it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from qlab.core.errors import QlabError
from qlab.core.images import read_image
from qlab.core.labelled_images import LabelledImages

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")  # files that are read as images
JUDGED = ("val", "valid", "validation", "test")  # names of the folder of images that judge
CROP = 0.875  # of the shorter side: 224 of 256 pixels (He et al., arXiv 1512.03385, section 3.4)
Size = tuple[int, int]  # height and width, pixels


def load(folder: Path, size: Size, classes: Sequence[str] = (), limit: int = 0) -> LabelledImages:
    """The images of a folder of class folders, cut and resized by `centre`; `limit` at most.

    Labels count the sorted names, or `classes`, those of another folder. The first image of every
    class comes before the second of any, so that any first part is as even as the folder allows.
    QlabError: no class folder, an empty one, one that `classes` lacks, a damaged image.
    """
    inner = sorted(f for f in folder.glob("*/") if not f.name.startswith("."))
    found = {f.name: sorted(filter(_is_image, f.iterdir())) for f in inner}
    names = tuple(classes or found)
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
    files = files[: limit or None]
    images = [centre(read_image(file), size) for _, _, file in files]
    return LabelledImages(np.stack(images), np.array([label for _, label, _ in files]), names)


def judged(folder: Path) -> Path:
    """The folder of images that judge, beside `train/`: the first of JUDGED; QlabError: none."""
    for name in JUDGED:
        if (folder / name).is_dir():
            return folder / name
    raise QlabError(f"{folder} has train/, but none of {', '.join(JUDGED)} with images that judge.")


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def centre(image: np.ndarray, size: Size, crop: float = CROP) -> np.ndarray:
    """The centre of an image, uint8 [h, w, 3], resized to [*size, 3]: `crop` times the largest part
    of that shape, in one bilinear step."""
    middle = np.array(image.shape[:2]) / 2
    half = crop * (middle / size).min() * np.array(size)
    (top, left), (bottom, right) = middle - half, middle + half
    box, resample = (left, top, right, bottom), Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize(size[::-1], resample, box))
