"""Detections as they are judged: scored, and kept as items from which the scores follow again.

Left out of the items is what no score hangs on. Of a category, a detection below the last hit
(with any overlap and size class) changes no precision-recall curve, on whatever resample of the
images, for there are fewer hits in that. And where size classes are not asked for, a detection that
overlaps no object of its category counts wherever it lies: its box is left empty.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from qlab.core import stats
from qlab.detector import average_precision
from qlab.detector import coco as coco_tools
from qlab.detector.average_precision import Scored

PIXEL, SCORE = 1000, 10**6  # stored are whole thousandths and millionths: what `detect` rounds to
BOX = ["x", "y", "width", "height"]
_FAR = 2**31 - 1  # a box of a broken graph may lie far outside of any image, where all is alike


class Judged(NamedTuple):
    """A detector's detections on some images."""

    scored: Scored  # AP and its kin, with their resamples
    items: pd.DataFrame  # image, category, BOX, score: one row a detection


def judged(
    coco: COCO,
    results: list[dict],
    ids: Sequence[int],
    draws: int,
    seed: int,
    overall: bool = False,
) -> Judged:
    """Detections scored on the images `ids`, over `draws` resamples; `overall` skips size classes.

    It needs no TensorFlow, so that processes that do only this start quickly.
    """
    weights = stats.resamples(len(ids), draws, seed)
    matches = coco_tools.match(coco, results, ids, overall=overall)
    return Judged(average_precision.estimates(matches, weights, overall), _items(matches, overall))


def _items(matches: COCOeval, overall: bool) -> pd.DataFrame:
    """The detections that scores hang on, an image after the other, best first."""
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
    if overall:
        table.loc[~near, BOX] = pd.NA
    kept = score >= [last.get(c, np.inf) for c in category]
    order = np.lexsort((-table["score"], table["image"]))  # equal scores stay in their order
    return table.iloc[order[kept[order]]].reset_index(drop=True)


def table(
    clean: Mapping[tuple[str, int], Judged],
    under: Mapping[tuple[str, int], Mapping[str, Judged]],
) -> pd.DataFrame:
    """Items of all variants: `clean` by variant and number of images, `under` by condition.

    Of a variant that was judged on several numbers of images, those of the largest are kept.
    """
    most = {v: max(n for w, n in clean if w == v) for v, _ in clean}
    parts = [(v, None, None, clean[v, n]) for v, n in most.items()]
    parts += [(v, *condition, one) for condition, of in under.items() for v, one in of.items()]
    labels = {"variant": object, "condition": object, "strength": "Int64"}
    tables = [one.items.assign(**dict(zip(labels, about, strict=True))) for *about, one in parts]
    rows = pd.concat(tables, ignore_index=True).astype(labels)
    return rows[[*labels, *rows.columns.drop(list(labels))]]
