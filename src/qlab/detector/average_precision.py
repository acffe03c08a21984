"""COCO's average precision and recall of any resample of the images.

An interval needs hundreds of sets of images. The matching is pycocotools', done once; only the last
step, the precision-recall curve, is computed here, for all resamples together, with the image's
count as weight. With all weights 1 the result is pycocotools'.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pycocotools.cocoeval import COCOeval
from scipy import sparse

from qlab.core.stats import Estimate, bootstrap_interval

OVERLAPS = {f"ap{t}": t / 100 for t in range(50, 100, 5)}  # COCO's thresholds, by the figure's name
SIZES = ("small", "medium", "large")  # COCO's ranges of object size
AREAS = ("all", *SIZES)
FIGURES = ("ap", *OVERLAPS, *(f"{kind}_{size}" for kind in ("ap", "ar") for size in SIZES), "ar")


def score(
    evaluation: COCOeval, weights: np.ndarray, overall: bool = False
) -> dict[str, np.ndarray]:
    """FIGURES of every resample, [d] each, categories averaged; NaN where undefined.

    `weights` [d, images] says how often each image (ascending id) counts; `overall` skips the size
    classes, which then are NaN.
    """
    p = evaluation.params
    kinds, areas, overlaps = len(p.catIds), len(AREAS), len(p.iouThrs)
    entries = np.array(evaluation.evalImgs, object).reshape(kinds, len(p.areaRng), len(p.imgIds))
    ap, ar = np.full((2, kinds, areas, overlaps, len(weights)), np.nan)
    weights = weights.astype(float)  # whole numbers all the same, so that sums stay exact
    for k, a in np.ndindex(kinds, 1 if overall else areas):
        ap[k, a], ar[k, a] = _precision_recall(entries[k, a], weights, p.recThrs, overlaps)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # of no category
        ap, ar = np.nanmean(ap, axis=0), np.nanmean(ar, axis=0).mean(1)
    whole, *by_size = ap.mean(1)
    return dict(zip(FIGURES, [whole, *ap[0], *by_size, *ar[1:], ar[0]], strict=True))


def _precision_recall(
    entries: Sequence[dict | None], weights: np.ndarray, thresholds: np.ndarray, overlaps: int
) -> np.ndarray:
    """Average precision and final recall of a category and size class, [2, overlaps, d].

    `entries` are pycocotools' matches, one an image. NaN where a resample holds no object.
    """
    objects = np.array([0 if e is None else (~_flags(e["gtIgnore"])).sum() for e in entries])
    positives = weights @ objects
    found = np.zeros((2, overlaps, len(weights)))
    found[:, :, positives == 0] = np.nan
    if not objects.any():
        return found
    filled = [(i, e) for i, e in enumerate(entries) if e is not None]
    image = np.concatenate([np.full(len(e["dtScores"]), i) for i, e in filled])
    order = np.argsort(-np.concatenate([e["dtScores"] for _, e in filled]), kind="mergesort")
    matched, ignored = (
        _flags(np.concatenate([e[name] for _, e in filled], axis=1))[:, order]
        for name in ("dtMatches", "dtIgnore")
    )
    for t, hit in enumerate(matched & ~ignored):
        if hit.any():
            false = ~matched[t] & ~ignored[t]
            hits, misses = _counted(image[order], hit, false, weights)
            found[:, t] = _areas(hits, misses, positives, thresholds)
    return found


def _flags(values) -> np.ndarray:
    return np.asarray(values).astype(bool)


def _counted(
    image: np.ndarray, hit: np.ndarray, false: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives up to each hit under image weights, [d, hits], best score first."""
    # A false positive after the last hit changes neither precision envelope nor recall.
    before = np.cumsum(hit)
    false = false & (before < hit.sum())
    shape = (weights.shape[1], hit.sum())
    misses = sparse.csr_array((np.ones(false.sum()), (image[false], before[false])), shape)
    return np.cumsum(weights[:, image[hit]], axis=1), np.cumsum(weights @ misses, axis=1)


def _areas(
    hits: np.ndarray, misses: np.ndarray, positives: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Average precision [d] and final recall [d] of counts [d, hits]; NaN without positives."""
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = hits / positives[:, None]
        precision = hits / (hits + misses + np.spacing(1))
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # How many of the 101 recall thresholds each hit is the first to reach.
        reached = np.searchsorted(thresholds, recall, side="right")
        gained = np.diff(reached, axis=1, prepend=0)
        average = (envelope * gained).sum(axis=1) / len(thresholds)
    return np.where(positives, average, np.nan), recall[:, -1]


class Scored(NamedTuple):
    """A detector's figures, and those of every resample of the images."""

    figures: dict[str, Estimate]
    samples: dict[str, np.ndarray]  # [d] each


def estimates(evaluation: COCOeval, weights: np.ndarray, overall: bool = False) -> Scored:
    """Every COCO figure with its bias-corrected bootstrap interval over images, and the samples.

    `weights` [d, images] are resamples (`stats.resamples`); `overall` skips the size classes.
    Figures that are undefined (no object of that size) are left out.
    """
    images = weights.shape[1]
    with_original = np.vstack([np.ones((1, images), int), weights])
    samples = score(evaluation, with_original, overall)
    whole = {name: float(v[0]) for name, v in samples.items() if not np.isnan(v[0])}
    samples = {name: values[1:] for name, values in samples.items()}
    intervals = {name: bootstrap_interval(samples[name], value) for name, value in whole.items()}
    figures = {name: Estimate(whole[name], *ends, images) for name, ends in intervals.items()}
    return Scored(figures, samples)


def difference(variant: Scored, parent: Scored, metric: str) -> Estimate:
    """A figure of one detector minus another's, both from `estimates` with the same weights.

    Every resample holds the same images for both, so the interval is of the paired difference.
    """
    delta = variant.figures[metric].value - parent.figures[metric].value
    interval = bootstrap_interval(variant.samples[metric] - parent.samples[metric], delta)
    return Estimate(delta, *interval, variant.figures[metric].n)
