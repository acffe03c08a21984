"""The resampled AP is pycocotools' AP, and comes out again from what is kept of the detections."""

import zlib

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.cocoeval import COCOeval
from tiny_coco import random_world, summary

from qlab.core import items, records
from qlab.detector import average_precision, coco, data, measure, mini_coco, robustness

SUMMARY = [
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    None, None, "ar", "ar_small", "ar_medium", "ar_large",
]  # fmt: skip


ONCE = (1, 1, 1, 1, 1, 1)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([(ONCE, 6), (ONCE, 1), ((2, 1, 0, 3, 1, 1), 6)]))
def test_figures_are_pycocotools_where_an_image_is_seen_as_often_as_it_weighs(seed, how):
    """And where of images that are seen once many scores are equal."""
    weights, digits = how
    worlds = random_world(seed), random_world(seed, copies=weights)
    (world, results), (seen, more) = (
        (w, [r | {"score": round(r["score"], digits)} for r in found]) for w, found in worlds
    )
    matches = coco.match(world, results, sorted(world.imgs))
    found = average_precision.score(matches, np.array([weights]))
    seen.dataset["info"] = {}  # pycocotools' own reader asks for it
    evaluation = COCOeval(seen, seen.loadRes(more), "bbox")
    evaluation.evaluate()
    for name, theirs in zip(SUMMARY, summary(evaluation), strict=True):
        if name is not None:
            mine = -1.0 if np.isnan(found[name][0]) else found[name][0]
            assert mine == pytest.approx(theirs, abs=1e-12), name


def results_of(rows: pd.DataFrame) -> list[dict]:
    """Kept detections as entries of a COCO results file; where no box is kept, it is a point."""
    boxes = rows[average_precision.BOX].fillna(0).to_numpy(float) / average_precision.PIXEL
    found = rows[["image", "category"]].set_axis(["image_id", "category_id"], axis=1)
    found = found.assign(bbox=boxes.tolist(), score=rows["score"] / average_precision.SCORE)
    return found.to_dict("records")


def again(task: data.Task, kept: pd.DataFrame, worse: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The records that are judged on items, from the kept items and the annotations alone, and
    these items as they would be kept now; so many images were made worse."""
    clean, under, ids = {}, {}, sorted(task.images)[:worse]
    how = (measure.DRAWS[task.given.profile], task.given.seed)
    about = ["condition", "strength", "variant"]
    for (kind, strength, v), rows in kept.groupby(about, sort=False, dropna=False, observed=True):
        results = results_of(rows)
        if pd.isna(kind):
            clean[v] = results
        else:
            one = average_precision.judged(task.coco, results, ids, *how, overall=True)
            under.setdefault((kind, strength), {})[v] = one
    scores = measure.score(task, clean)
    made = measure.accuracy_records(task, clean, scores)
    made += robustness.robustness_records(task, under)
    return records.as_table(made), average_precision.table(scores, under)


def test_committed_intervals_and_items_are_those_of_the_committed_items(home):
    """Of `mini`, in all ten digits that its records keep: what was judged on its first 50 images,
    slow int16x8 and one variant under one kind of corruption, drawn anew for every commit."""
    file = items.path(measure.EXPERIMENT, "mini")
    rng = np.random.default_rng(zlib.crc32((ROOT / file.relative_to(home)).read_bytes()))
    kept, committed = (
        items.read(measure.EXPERIMENT, "mini"),
        records.read(measure.EXPERIMENT, "mini"),
    )
    under = kept[kept["condition"].notna()]
    variant, kind = (
        rng.choice(sorted({*under[column]} - {but}))
        for column, but in (("variant", "fp32"), ("condition", "clean"))
    )
    under = under[under["variant"].isin(["fp32", variant])]
    plain = kept[kept["condition"].isna() & kept["variant"].isin(["fp32", measure.SLOW])]
    kept = pd.concat([plain, under[under["condition"].isin(["clean", kind])]])
    root, given = mini_coco.kept("val", 60), data.Parameters()
    world = coco.load_annotations(root / "annotations" / "instances_val.json")
    about = ("centernet_mini", "mini_coco", root, None, data.Size(256, 256))
    task = data.Task(given, *about, world, dict.fromkeys(world.imgs), [])
    made, rows = again(task, kept, robustness.LIMIT["mini"])
    made = made[(made["variant"] != "fp32") | made["condition"].notna()]  # judged on all images
    both = made.merge(committed, on=records.KEY, suffixes=("", "_committed"))
    assert len(both) == len(made) and {*made["variant"]} == {"fp32", variant, measure.SLOW}
    for column in ("value", "ci_low", "ci_high", "n"):
        np.testing.assert_allclose(both[column], both[f"{column}_committed"], rtol=1e-9, atol=1e-12)
    items.write(measure.EXPERIMENT, "again", rows)
    rows = items.read(measure.EXPERIMENT, "again")
    parent = [(t["variant"] == "fp32") & t["condition"].isna() for t in (rows, kept)]
    assert rows.loc[parent[0], "image"].nunique() == 60  # all that it saw, though others saw fewer
    one, two = (t[~of].reset_index(drop=True) for t, of in zip((rows, kept), parent, strict=True))
    pd.testing.assert_frame_equal(one, two)
