"""Score detections: COCO's average precision and recall on any resample of the images, and items.

pycocotools matches once. The precision-recall curve is computed here, for hundreds of resamples
together, with each image's count as its weight. If all weights are 1, the result is pycocotools'.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import sparse

from qlab.core.stats import Estimate, bootstrap_interval, resamples
from qlab.detector.coco import match

OVERLAPS = {f"ap{t}": t / 100 for t in range(50, 100, 5)}  # COCO's thresholds, by the figure's name
SIZES = ("small", "medium", "large")  # COCO's ranges of object size; "all sizes" comes before them
FIGURES = ("ap", *OVERLAPS, *(f"{kind}_{size}" for kind in ("ap", "ar") for size in SIZES), "ar")
PIXEL, SCORE = 1000, 10**6  # stored as whole thousandths and millionths, to which `detect` rounds
BOX = ["x", "y", "width", "height"]
_FAR = 2**31 - 1  # a broken graph's box may lie far outside any image; how far does not matter


class Judged(NamedTuple):
    """A detector's detections on some images."""

    figures: dict[str, Estimate]  # AP and related figures
    samples: dict[str, np.ndarray]  # the same on every resample of the images, [draws] each
    items: pd.DataFrame  # image, category, BOX, score: one row per detection


def judged(coco: COCO, results: list, ids: list, draws: int, seed: int, overall=False) -> Judged:
    """Score detections on images and on resamples of them; undefined figures are left out."""
    matches, n = match(coco, results, ids, overall=overall), len(ids)
    found = score(matches, np.vstack([np.ones((1, n), int), resamples(n, draws, seed)]))
    whole = {name: float(v[0]) for name, v in found.items() if not np.isnan(v[0])}
    samples = {name: values[1:] for name, values in found.items()}
    figures = {k: Estimate(v, *bootstrap_interval(samples[k], v), n) for k, v in whole.items()}
    return Judged(figures, samples, _items(matches))


def difference(variant: Judged, parent: Judged, metric: str, usual: Sequence = ()) -> Estimate:
    """A figure minus the parent's, paired: all were judged on as many images with one seed. If
    `usual`, a second (variant, parent), is given, its difference is subtracted as well."""
    pairs = [(variant, parent), *([usual] if usual else [])]
    value, *usually = (a.figures[metric].value - b.figures[metric].value for a, b in pairs)
    shift, *shifts = (a.samples[metric] - b.samples[metric] for a, b in pairs)
    value, shift = value - sum(usually), shift - sum(shifts)
    return Estimate(value, *bootstrap_interval(shift, value), variant.figures[metric].n)


def score(evaluation: COCOeval, weights: np.ndarray) -> dict[str, np.ndarray]:
    """FIGURES, [draws] each, NaN if undefined; `weights` [draws, images] count images, by id."""
    p = evaluation.params
    shape = kinds, areas, _ = len(p.catIds), len(p.areaRng), len(p.imgIds)
    entries = np.array(evaluation.evalImgs, object).reshape(shape)
    ap, ar = np.full((2, kinds, 1 + len(SIZES), len(p.iouThrs), len(weights)), np.nan)
    weights = weights.astype(float)  # still whole numbers, so that sums stay exact
    for k, a in np.ndindex(kinds, areas):
        ap[k, a], ar[k, a] = _precision_recall(entries[k, a], weights, p.recThrs, len(p.iouThrs))
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # mean of nothing
        ap, ar = np.nanmean(ap, axis=0), np.nanmean(ar, axis=0).mean(1)
    whole, *by_size = ap.mean(1)
    return dict(zip(FIGURES, [whole, *ap[0], *by_size, *ar[1:], ar[0]], strict=True))


def _precision_recall(entries, weights, thresholds, overlaps: int) -> np.ndarray:
    """AP and recall of pycocotools' matches by image: [2, overlaps, draws]; NaN: no object."""
    filled = [(i, e) for i, e in enumerate(entries) if e is not None]
    objects = np.array([0 if e is None else np.logical_not(e["gtIgnore"]).sum() for e in entries])
    positives = weights @ objects
    found = np.where(positives, np.zeros((2, overlaps, 1)), np.nan)
    if not objects.any():
        return found
    image = np.concatenate([np.full(len(e["dtScores"]), i) for i, e in filled])
    order = np.argsort(-np.concatenate([e["dtScores"] for _, e in filled]), kind="mergesort")
    both = (np.hstack([e[name] for _, e in filled]) for name in ("dtMatches", "dtIgnore"))
    matched, ignored = (one.astype(bool)[:, order] for one in both)
    for t, hit in enumerate(matched & ~ignored):
        if hit.any():
            false = ~matched[t] & ~ignored[t]
            found[:, t] = _areas(image[order], hit, false, weights, positives, thresholds)
    return found


def _areas(image, hit, false, weights, positives, thresholds) -> tuple[np.ndarray, np.ndarray]:
    """AP and final recall, [draws] each, of detections sorted by score, best first."""
    # A false positive after the last hit changes neither precision envelope nor recall.
    before = np.cumsum(hit)
    false = false & (before < hit.sum())
    shape = (weights.shape[1], hit.sum())
    misses = sparse.csr_array((np.ones(false.sum()), (image[false], before[false])), shape)
    # True and false positives up to each hit, [draws, hits].
    hits, misses = np.cumsum(weights[:, image[hit]], axis=1), np.cumsum(weights @ misses, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = hits / positives[:, None]
        precision = hits / (hits + misses + np.spacing(1))
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # How many of the 101 recall thresholds each hit is the first to reach.
        gained = np.diff(np.searchsorted(thresholds, recall, side="right"), axis=1, prepend=0)
        average = (envelope * gained).sum(axis=1) / len(thresholds)
    return np.where(positives, average, np.nan), recall[:, -1]


def _items(matches: COCOeval) -> pd.DataFrame:
    """The detections that figures depend on, image by image, best first. Those below their
    category's last hit change no curve and are left out. Without size classes, one that overlaps no
    object counts wherever it lies: its box is left empty."""
    answers = matches.cocoDt.dataset["annotations"]
    last = dict.fromkeys(matches.params.catIds, np.inf)  # score of a category's last hit
    near = np.zeros(len(answers), bool)  # whether it may match an object
    for e in filter(None, matches.evalImgs):
        place = np.array(e["dtIds"], int) - 1
        overlap = np.array(matches.ious[e["image_id"], e["category_id"]])
        overlap = overlap.reshape(len(place), len(e["gtIds"]))
        near[place] = (overlap >= matches.params.iouThrs[0]).any(axis=1)
        hits = (np.asarray(e["dtMatches"]) > 0) & ~np.asarray(e["dtIgnore"], bool)
        least = np.asarray(e["dtScores"])[hits.any(axis=0)].min(initial=np.inf)
        last[e["category_id"]] = min(last[e["category_id"]], least)
    names = ("image_id", "category_id", "score")
    image, category, score = (np.array([r[name] for r in answers]) for name in names)
    table = pd.DataFrame({"image": image, "category": category})
    table["score"] = np.rint(SCORE * score).astype("int32")
    box = np.rint(PIXEL * np.array([r["bbox"] for r in answers]).reshape(-1, 4))
    table[BOX] = pd.DataFrame(np.clip(box, -_FAR, _FAR), dtype="Int32")
    if len(matches.params.areaRng) == 1:
        table.loc[~near, BOX] = pd.NA
    kept = table[score >= table["category"].map(last)]  # an unknown category has no hit
    order = np.lexsort((-kept["score"], kept["image"]))  # equal scores stay in their order
    return kept.iloc[order].reset_index(drop=True)


def table(clean: Mapping, under: Mapping) -> pd.DataFrame:
    """Items of all variants: `clean`, by variant and number of images (the largest is used), and
    `under`, by condition."""
    most = {v: max(n for w, n in clean if w == v) for v, _ in clean}
    parts = [(clean[v, n].items, v, None, None) for v, n in most.items()]
    parts += [(one.items, v, *at) for at, of in under.items() for v, one in of.items()]
    labels = {"variant": object, "condition": object, "strength": "Int64"}
    tables = [pd.DataFrame(dict(zip(labels, at, strict=True)), t.index).join(t) for t, *at in parts]
    return pd.concat(tables, ignore_index=True).astype(labels)
