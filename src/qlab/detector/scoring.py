"""A detector's figures with their resamples, on the images as they are and on worse ones.

It does not import TensorFlow, so that processes that do only this start quickly.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from qlab.core import corruptions, stats
from qlab.core.stats import Estimate
from qlab.detector import average_precision, detect
from qlab.detector import coco as coco_tools

Scored = tuple[dict[str, Estimate], dict[str, np.ndarray]]


def scored(
    coco: COCO,
    results: list[dict],
    ids: Sequence[int],
    draws: int,
    seed: int,
    overall: bool = False,
) -> Scored:
    """`average_precision.estimates` of detections on the images `ids`, over `draws` resamples."""
    weights = stats.resamples(len(ids), draws, seed)
    matches = coco_tools.match(coco, results, ids, overall=overall)
    return average_precision.estimates(matches, weights, overall)


def scored_under(
    kind: str,
    strength: int,
    files: Mapping[str, Path],
    images: dict[int, Path],
    coco: COCO,
    threads: int,
    draws: int,
    seed: int,
) -> dict[str, Scored]:
    """The overall figures of each detector in `files` under a corruption; strength 0 is none."""
    change = _corruption(kind, strength, seed) if strength else None
    name = f"{kind}{strength} seed {seed}"
    found = detect.detect_each(list(files.values()), images, threads, change, name)
    pairs = zip(files, found, strict=True)
    return {v: scored(coco, results, sorted(images), draws, seed, True) for v, results in pairs}


def _corruption(kind: str, strength: int, seed: int):
    return lambda image, image_id: corruptions.corrupt(image, kind, strength, seed + image_id)
