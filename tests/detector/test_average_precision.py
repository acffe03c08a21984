"""The resampled AP is pycocotools' AP: on real data, on duplicated images, in odd corners."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.cocoeval import COCOeval
from tiny_coco import random_world, summary

from qlab.detector import average_precision, coco

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
