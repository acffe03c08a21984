"""Experiment `centernet_ptq` on made-up detections: pairing, flips, odd sizes."""

import pytest
from tiny_coco import perfect, value

from qlab.core import records
from qlab.detector import measure


def accuracy(work, found):
    return measure.accuracy_records(work, found, measure.score(work, found))


def test_equal_detections_differ_by_exactly_nothing_wherever_they_stand(task, monkeypatch):
    """The slow variant sees fewer images; what comes after it is compared on all of them again."""
    monkeypatch.setitem(measure.SLOW_LIMIT, "smoke", 5)
    work, results = task
    found = {"fp32": results, measure.SLOW: results, "int8_dynamic_subpixel": results}
    table = records.as_table(accuracy(work, found))
    for variant, n in ((measure.SLOW, 5), ("int8_dynamic_subpixel", 12)):
        row = value(table, variant, "ap_difference")
        assert (row["value"], row["ci_low"], row["ci_high"], row["n"]) == (0, 0, 0, n)
        assert value(table, variant, "flip_rate")["value"] == 0
        assert value(table, variant, "mcnemar_p")["value"] == 1


def test_no_detections_at_all_is_a_result(task):
    work, results = task
    found = {"fp32": results, "int8_static": []}
    table = records.as_table(accuracy(work, found))
    assert value(table, "int8_static", "ap")["value"] == 0
    records.check(table, "here")


def test_losing_the_answers_of_half_the_images_is_seen(task):
    work, _ = task
    answers = perfect(work)
    found = {"fp32": answers, "int8_static": [r for r in answers if r["image_id"] <= 6]}
    table = records.as_table(accuracy(work, found))
    assert value(table, "int8_static", "ap_difference")["ci_high"] < 0
    lost = sum(not a["iscrowd"] for a in work.coco.anns.values() if a["image_id"] > 6)
    assert value(table, "int8_static", "flips_lost")["value"] == lost
    assert value(table, "int8_static", "flips_gained")["value"] == 0
    difference = value(table, "int8_static", "found_share_difference")["value"]
    assert difference == pytest.approx(-value(table, "int8_static", "flip_rate")["value"])
