"""Boxes and flips of one image are the records' own; curves say what is recorded."""

import numpy as np
import pytest
from explored import moves, stands_still
from PIL import Image

from qlab.core import records
from qlab.core.records import interval
from qlab.detector import explore, measure
from qlab.detector.explore import AREA, IOU

TABLE = records.read("centernet_ptq", "mini")


@pytest.fixture
def world(task, monkeypatch):
    """A task of 12 images that are there, and three variants, of which one is SLOW."""
    work, results = task
    for path in work.images.values():
        Image.fromarray(np.full((500, 500, 3), 128, np.uint8)).save(path)
    monkeypatch.setitem(measure.SLOW_LIMIT, "smoke", 5)
    rng = np.random.default_rng(1)
    worse = [r | {"score": r["score"] * rng.uniform(0.3, 1.3)} for r in results]
    return work, {"fp32": results, "int8_static": worse, measure.SLOW: results}


@pytest.fixture
def box(world):
    return explore.samples(*world)


def test_flips_are_those_of_the_records(world, box):
    table = records.as_table(measure.accuracy_records(*world, measure.score(*world)))
    lost, gained = (
        int(records.pick(table, f"flips_{side}", variant="int8_static")["value"].iloc[0])
        for side in ("lost", "gained")
    )
    assert lost > 0 and f"it loses {lost} and gains {gained} of" in box.children[-2].value


def test_one_image_adds_up(world, box):
    """Over all images, the objects lost one image at a time are all that are lost."""
    work, found = world
    whole = explore.objects(work, found, "int8_static", sorted(work.images), 0.3)
    single = [explore.objects(work, found, "int8_static", [i], 0.3) for i in work.images]
    assert whole["float"].sum() == sum(one["float"].sum() for one in single)
    assert whole["variant"].sum() == sum(one["variant"].sum() for one in single)
    assert len(whole) == sum(not a["iscrowd"] for a in work.coco.anns.values())


def test_the_score_counts_boxes(world, box):
    variant, score, place, text, _ = box.children
    for least in (0.1, 0.6):
        score.value = least
        image = int(text.value.split(".png")[0])
        drawn = explore.boxes_drawn(world[1], "fp32", image, least)
        assert all(r["score"] >= least and r["image_id"] == image for r in drawn)
        assert f"fp32 draws {len(drawn)} box" in text.value


def test_every_control_moves_text_or_picture(box):
    moves(box, {"image, most flips first": 3, "score from": 0.6, "variant": measure.SLOW})
    stands_still(box)


def test_a_variant_that_saw_fewer_images_says_so(box):
    variant, _, place, text, _ = box.children
    variant.value, place.value = measure.SLOW, 6
    assert text.value == f"{measure.SLOW} answered on 5 images only; take one of these."
    place.value = 5
    assert "loses 0 and gains 0" in text.value


@pytest.fixture
def curves():
    return explore.curves(TABLE)


def test_curves_say_what_is_recorded(curves):
    by, variants, text, _ = curves.children
    variants.value = ("int8_static",)
    for kind, metrics in ((IOU, ("ap50", "ap75", "ap95")), (AREA, ("ap_small", "ap_large"))):
        by.value = kind
        for metric in metrics:
            rows = records.pick(TABLE, metric, variant="int8_static", dataset="mini_coco")
            assert interval(rows.iloc[0]) in text.value, metric


def test_every_control_of_the_curves_moves_text_or_picture(curves):
    moves(curves, {"AP by": AREA, "variants": ("fp32", "fp16")})
    stands_still(curves)
    curves.children[1].value = ()
    assert curves.children[-2].value.startswith("Pick one or more variants; there are fp32, fp16")
