"""Boxes and flips of one image are the records' own; curves say what is recorded."""

import numpy as np
import pytest
from explored import moves, stands_still
from PIL import Image

from qlab.core import records
from qlab.detector import explore, measure
from qlab.detector.explore import AREA


@pytest.fixture
def box(task, monkeypatch):
    """A task of 12 images that are there, and three variants, of which one is SLOW."""
    work, results = task
    for path in work.images.values():
        Image.fromarray(np.full((500, 500, 3), 128, np.uint8)).save(path)
    monkeypatch.setitem(measure.SLOW_LIMIT, "smoke", 5)
    rng = np.random.default_rng(1)
    worse = [r | {"score": r["score"] * rng.uniform(0.3, 1.3)} for r in results]
    found = {"fp32": results, "int8_static": worse, measure.SLOW: results}
    return work, found, explore.samples(work, found)


def test_flips_are_those_of_the_records_and_images_add_up(box):
    work, found, shown = box
    table = records.as_table(measure.accuracy_records(work, found, measure.score(work, found)))
    lost, gained = (
        int(records.value(table, "int8_static", f"flips_{side}")) for side in ("lost", "gained")
    )
    assert lost > 0 and f"{lost} lost, {gained} gained of" in shown.children[-2].value
    single = [explore.objects(work, found, "int8_static", [i], 0.3) for i in work.images]
    assert sum((one["flip"] == "lost").sum() for one in single) == lost
    assert sum(map(len, single)) == sum(not a["iscrowd"] for a in work.coco.anns.values())


def test_every_control_moves_text_or_picture_and_scores_count_boxes(box):
    _, found, shown = box
    moves(shown, {"image, most flips first": 3, "score from": 0.6, "variant": measure.SLOW})
    stands_still(shown)
    variant, score, place, text, _ = shown.children
    image = int(text.value.split(".png")[0])
    strong = [r for r in found["fp32"] if r["image_id"] == image and r["score"] >= score.value]
    assert f"fp32 draws {len(strong)} box" in text.value
    place.value = 6
    assert text.value == f"{measure.SLOW} answered on 5 images only; take one of these."


def test_curves_say_what_is_recorded():
    table = records.read("centernet_ptq", "mini")
    curves = explore.curves(table)
    moves(curves, {"AP by": AREA, "variants": ("fp32", "int8_static")})
    stands_still(curves)
    rows = records.pick(table, "ap_large", variant="int8_static", condition=None)
    assert records.interval(rows.iloc[0]) in curves.children[-2].value
    curves.children[1].value = ()
    assert curves.children[-2].value.startswith("Pick one or more variants; there are fp32, fp16")
