"""The resampled AP is pycocotools' AP, and comes out again from what is kept of the detections."""

import zlib
from pathlib import Path

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


def scored(world, results, weights):
    return average_precision.score(coco.match(world, results, sorted(world.imgs)), weights)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.booleans())
def test_unit_weights_give_pycocotools_figures(seed, tied):
    world, results = random_world(seed)
    results = [{**r, "score": round(r["score"], 1 if tied else 6)} for r in results]
    found = scored(world, results, np.ones((1, len(world.imgs)), int))
    world.dataset["info"] = {}  # its own reader asks for it
    evaluation = COCOeval(world, world.loadRes(results), "bbox")
    evaluation.evaluate()
    for name, theirs in zip(SUMMARY, summary(evaluation), strict=True):
        if name is not None:
            mine = -1.0 if np.isnan(found[name][0]) else found[name][0]
            assert mine == pytest.approx(theirs, abs=1e-12), name


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_a_weight_of_two_is_an_image_seen_twice(seed):
    world, results = random_world(seed, images=4)
    weights = np.array([[2, 1, 0, 3]])
    found = scored(world, results, weights)
    twice, more = random_world(seed, images=4, copies=weights[0])
    expected = scored(twice, more, np.ones((1, len(twice.imgs)), int))
    for name in ("ap", "ap50", "ar", "ap_small"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-12, err_msg=name)


def test_no_detections_score_zero_and_no_objects_score_nothing():
    world, _ = random_world(1)
    once = np.ones((1, len(world.imgs)), int)
    assert scored(world, [], once)["ap"] == 0.0
    assert np.isnan(scored(*random_world(1, objects=0), once)["ap"])


def test_undefined_figures_are_left_out_and_size_classes_can_be_skipped():
    world, results = random_world(5)
    for a in world.anns.values():
        a["area"] = 500.0  # small, all of them
    ids = sorted(world.imgs)
    whole, overall = (
        average_precision.judged(world, results, ids, 20, 0, alone).figures for alone in (0, 1)
    )
    assert "ap_small" in whole and not {"ap_medium", "ap_large"} & set(whole)
    assert "ap_small" not in overall and overall.items() <= whole.items()


MADE_AGAIN = [*records.KEY, "value", "ci_low", "ci_high", "n"]


def results_of(rows: pd.DataFrame) -> list[dict]:
    """Kept detections as entries of a COCO results file; where no box is kept, it is a point."""
    boxes = rows[average_precision.BOX].fillna(0).to_numpy(float) / average_precision.PIXEL
    found = rows[["image", "category"]].set_axis(["image_id", "category_id"], axis=1)
    found = found.assign(bbox=boxes.tolist(), score=rows["score"] / average_precision.SCORE)
    return found.to_dict("records")


def again(task: data.Task, kept: pd.DataFrame, worse: int) -> pd.DataFrame:
    """The records that are judged on items, from the kept items and the annotations alone; so many
    images were made worse."""
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
    made = measure.accuracy_records(task, clean, measure.score(task, clean))
    return table_of(made + robustness.robustness_records(task, under))


def table_of(made: list[records.Record]) -> pd.DataFrame:
    return records.as_table(made).sort_values(records.KEY)[MADE_AGAIN].reset_index(drop=True)


def worse(results, rng, share=0.8):
    """Some of the answers, with other scores, many of them equal."""
    kept = [r for r in results if rng.random() < share]
    return [r | {"score": float(rng.choice([0.2, 0.5, 0.9]))} for r in kept]


def test_every_interval_is_computed_again_from_the_written_items(task, empty_home, monkeypatch):
    monkeypatch.setitem(measure.SLOW_LIMIT, "smoke", 5)
    monkeypatch.setitem(measure.FEW_LIMIT, "smoke", 7)
    work, results = task
    rng = np.random.default_rng(0)
    found = {"fp32": results, "int8_static": worse(results, rng)}
    for variant, n in ((measure.SLOW, 5), ("int4_octav", 7)):
        found[variant] = worse([r for r in results if r["image_id"] <= n], rng)

    def detected(files, images, threads, how):
        return [[r for r in worse(results, rng) if r["image_id"] in images] for _ in files]

    monkeypatch.setattr(robustness.detect, "detect_each", detected)
    files = {"fp32": Path("a"), "int8_static": Path("b")}
    scores, under = measure.score(work, found), robustness.score(work, files)
    made = measure.accuracy_records(work, found, scores)
    made += robustness.robustness_records(work, under)
    items.write(measure.EXPERIMENT, "smoke", average_precision.table(scores, under))
    kept = items.read(measure.EXPERIMENT, "smoke")
    assert len(kept) < sum(map(len, found.values())) + 5 * 2 * len(results)
    found_again = again(work, kept, robustness.LIMIT["smoke"])
    pd.testing.assert_frame_equal(table_of(made), found_again, check_exact=True)


def test_committed_intervals_are_those_of_the_committed_items(home):
    """Of `mini`, in all ten digits that its records keep: what was judged on its first 50 images,
    slow int16x8 and one variant under one kind of corruption, drawn anew for every commit."""
    file = items.path(measure.EXPERIMENT, "mini")
    rng = np.random.default_rng(zlib.crc32((ROOT / file.relative_to(home)).read_bytes()))
    kept, committed = pd.read_parquet(file), records.read(measure.EXPERIMENT, "mini")
    under = kept[kept["condition"].notna()]
    variant, kind = (
        rng.choice(sorted({*under[column]} - {but}))
        for column, but in (("variant", "fp32"), ("condition", "clean"))
    )
    under = under[under["variant"].isin(["fp32", variant])]
    plain = kept[kept["condition"].isna() & kept["variant"].isin(["fp32", measure.SLOW])]
    kept = pd.concat([plain, under[under["condition"].isin(["clean", kind])]])
    root, given = mini_coco.kept("val", robustness.LIMIT["mini"]), data.Parameters()
    world = coco.load_annotations(root / "annotations" / "instances_val.json")
    about = ("centernet_mini", "mini_coco", root, None, data.Size(256, 256))
    task = data.Task(given, *about, world, dict.fromkeys(world.imgs), [])
    made = again(task, kept, len(world.imgs))
    made = made[(made["variant"] != "fp32") | made["condition"].notna()]  # judged on all images
    both = made.merge(committed, on=records.KEY, suffixes=("", "_committed"))
    assert len(both) == len(made) and {*made["variant"]} == {"fp32", variant, measure.SLOW}
    for column in ("value", "ci_low", "ci_high", "n"):
        np.testing.assert_allclose(both[column], both[f"{column}_committed"], rtol=1e-9, atol=1e-12)
