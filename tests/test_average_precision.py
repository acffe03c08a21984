"""The resampled AP is pycocotools' AP: on real data, on duplicated images, in odd corners."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_coco import random_world

from qlab import average_precision, coco

SUMMARY = [
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    None, None, "ar", "ar_small", "ar_medium", "ar_large",
]  # fmt: skip


def scored(world, results, weights):
    evaluation = coco.match(world, results, sorted(world.imgs))
    return evaluation, average_precision.metrics(average_precision.score(evaluation, weights))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_unit_weights_give_pycocotools_figures(seed):
    world, results = random_world(seed)
    evaluation, found = scored(world, results, np.ones((1, len(world.imgs)), int))
    for name, theirs in zip(SUMMARY, coco.summary(evaluation), strict=True):
        if name is not None:
            mine = -1.0 if np.isnan(found[name][0]) else found[name][0]
            assert mine == pytest.approx(theirs, abs=1e-12), name


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_a_weight_of_two_is_an_image_seen_twice(seed):
    world, results = random_world(seed, images=4)
    weights = np.array([[2, 1, 0, 3]])
    _, found = scored(world, results, weights)
    twice, more = random_world(seed, images=4, copies=weights[0])
    evaluation, expected = scored(twice, more, np.ones((1, len(twice.imgs)), int))
    for name in ("ap", "ap50", "ar", "ap_small"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-12, err_msg=name)


def test_no_detections_score_zero_and_no_objects_score_nothing():
    world, _ = random_world(1)
    found = scored(world, [], np.ones((1, len(world.imgs)), int))[1]
    assert found["ap"][0] == 0.0
    empty, results = random_world(1, objects=0)
    assert np.isnan(scored(empty, results, np.ones((1, len(empty.imgs)), int))[1]["ap"][0])


def test_estimates_enclose_the_value():
    world, results = random_world(5, images=30)
    from qlab.statistics import resamples

    evaluation = coco.match(world, results, sorted(world.imgs))
    estimates, samples = average_precision.estimates(evaluation, resamples(30, 200, 0))
    assert estimates["ap"].low <= estimates["ap"].value <= estimates["ap"].high
    assert estimates["ap"].low < estimates["ap"].high
    assert len(samples["ap"]) == 200
