"""COCO's average precision and recall of any resample of the images.

An interval needs hundreds of sets of images. The matching is pycocotools', done once; only the last
step, the precision-recall curve, is computed here, for all resamples together, with the image's
count as weight. With all weights 1 the result is pycocotools'.
"""

from typing import NamedTuple

import numpy as np
from pycocotools.cocoeval import COCOeval
from scipy import sparse

from qlab.core.stats import Estimate, bootstrap_interval

OVERLAPS = {f"ap{t}": t / 100 for t in range(50, 100, 5)}  # COCO's thresholds, by the figure's name
SIZES = ("small", "medium", "large")  # COCO's ranges of object size
AREAS = ("all", *SIZES)
FIGURES = ("ap", *OVERLAPS, *(f"{kind}_{size}" for kind in ("ap", "ar") for size in SIZES), "ar")


class Curve(NamedTuple):
    """What one category, size class and overlap contributes, images [i], true positives [t]."""

    positives: np.ndarray  # [i] objects to be found, per image
    hit_image: np.ndarray  # [t] the image of each true positive, best score first
    misses: sparse.csr_array  # [i, t] false positives of image i between hits t - 1 and t


def _curves(entries: list[dict | None], overlaps: int) -> list[Curve]:
    """A precision-recall curve for each overlap, of pycocotools' matches (an entry per image)."""
    positives = np.array([0 if e is None else int((~_flags(e["gtIgnore"])).sum()) for e in entries])
    filled = [(i, e) for i, e in enumerate(entries) if e is not None]
    if not filled:
        return [Curve(positives, np.zeros(0, int), sparse.csr_array((len(entries), 0)))] * overlaps
    image = np.concatenate([np.full(len(e["dtScores"]), i) for i, e in filled])
    order = np.argsort(-np.concatenate([e["dtScores"] for _, e in filled]), kind="mergesort")
    matched, ignored = (
        _flags(np.concatenate([e[name] for _, e in filled], axis=1))[:, order]
        for name in ("dtMatches", "dtIgnore")
    )
    return [_curve(positives, image[order], *flags) for flags in zip(matched, ignored, strict=True)]


def _curve(
    positives: np.ndarray, image: np.ndarray, matched: np.ndarray, ignored: np.ndarray
) -> Curve:
    """A curve of detections [n] whose best score is first: their images, and how they matched."""
    hit = matched & ~ignored
    # A false positive after the last hit changes neither precision envelope nor recall.
    before = np.cumsum(hit)
    miss = ~matched & ~ignored & (before < hit.sum())
    shape = (len(positives), int(hit.sum()))
    ones = np.ones(int(miss.sum()))
    return Curve(
        positives, image[hit], sparse.csr_array((ones, (image[miss], before[miss])), shape)
    )


def _flags(values) -> np.ndarray:
    return np.asarray(values).astype(bool)


def _precision_recall(
    curve: Curve, weights: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Average precision [d] and final recall [d] under image weights [d, i].

    NaN where a resample holds no object.
    """
    positives = weights @ curve.positives
    with np.errstate(divide="ignore", invalid="ignore"):
        if not len(curve.hit_image):
            empty = np.where(positives > 0, 0.0, np.nan)
            return empty, empty
        hits = np.cumsum(weights[:, curve.hit_image], axis=1)
        misses = np.cumsum(weights @ curve.misses, axis=1)
        recall = hits / positives[:, None]
        precision = hits / (hits + misses + np.spacing(1))
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # How many of the 101 recall thresholds each hit is the first to reach.
        reached = np.searchsorted(thresholds, recall, side="right")
        gained = np.diff(reached, axis=1, prepend=0)
        average = (envelope * gained).sum(axis=1) / len(thresholds)
    undefined = positives == 0
    average[undefined] = np.nan
    return average, np.where(undefined, np.nan, recall[:, -1])


class Scores(NamedTuple):
    """Scores of every resample: draws [d], categories averaged, NaN where undefined."""

    ap: np.ndarray  # [d, areas, overlaps]
    ar: np.ndarray  # [d, areas], recall averaged over overlaps


def score(evaluation: COCOeval, weights: np.ndarray, overall: bool = False) -> Scores:
    """Average precision by size class and overlap, and recall by size class.

    `weights` [d, images] says how often each image (ascending id) counts;
    `overall` skips the size classes, which then are NaN.
    """
    p = evaluation.params
    images = len(p.imgIds)
    entries = np.array(evaluation.evalImgs, dtype=object).reshape(
        len(p.catIds), len(p.areaRng), images
    )
    shape = (len(p.catIds), len(AREAS), len(p.iouThrs), len(weights))
    ap, ar = np.full(shape, np.nan), np.full(shape, np.nan)
    weights = weights.astype(float)  # whole numbers all the same, so that sums stay exact
    for k, a in np.ndindex(shape[0], 1 if overall else shape[1]):
        for t, curve in enumerate(_curves(list(entries[k, a]), shape[2])):
            if curve.positives.any():
                ap[k, a, t], ar[k, a, t] = _precision_recall(curve, weights, p.recThrs)
    return Scores(
        _mean(ap, axis=0).transpose(2, 0, 1), _mean(ar.reshape(-1, *shape[1:]), axis=0).mean(1).T
    )


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean over the categories that have objects; NaN where none has."""
    counted = (~np.isnan(values)).sum(axis=axis)
    with np.errstate(invalid="ignore"):
        return np.nansum(values, axis=axis) / np.where(counted, counted, np.nan)


def metrics(scores: Scores) -> dict[str, np.ndarray]:
    """COCO's figures by name, each [d]."""
    areas = range(len(AREAS))
    whole, *ap = (scores.ap[:, i].mean(-1) for i in areas)
    recall, *ar = (scores.ar[:, i] for i in areas)
    values = [whole, *scores.ap[:, 0].T, *ap, *ar, recall]
    return dict(zip(FIGURES, values, strict=True))


class Scored(NamedTuple):
    """A detector's figures, and those of every resample of the images."""

    figures: dict[str, Estimate]
    samples: dict[str, np.ndarray]  # [d] each


def estimates(evaluation: COCOeval, weights: np.ndarray, overall: bool = False) -> Scored:
    """Every COCO figure with its bias-corrected bootstrap interval over images, and the samples.

    `weights` [d, images] are resamples (`stats.resamples`); `overall`
    skips the size classes. Figures that are undefined (no object of that size) are left out.
    """
    images = weights.shape[1]
    with_original = np.vstack([np.ones((1, images), int), weights])
    samples = metrics(score(evaluation, with_original, overall))
    whole = {name: float(v[0]) for name, v in samples.items() if not np.isnan(v[0])}
    samples = {name: values[1:] for name, values in samples.items()}
    intervals = {name: bootstrap_interval(samples[name], value) for name, value in whole.items()}
    figures = {name: Estimate(whole[name], *ends, images) for name, ends in intervals.items()}
    return Scored(figures, samples)


def difference(variant: Scored, parent: Scored, metric: str) -> Estimate:
    """A figure of one detector minus another's, both from `estimates` with the same weights.

    Every resample holds the same images for both, so the interval is that of
    the paired difference.
    """
    delta = variant.figures[metric].value - parent.figures[metric].value
    interval = bootstrap_interval(variant.samples[metric] - parent.samples[metric], delta)
    return Estimate(delta, *interval, variant.figures[metric].n)
