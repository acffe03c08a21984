"""Boxes and flips of one image are the records' own; curves say what is recorded."""

import numpy as np
import pytest
from PIL import Image

from qlab.core import records
from qlab.detector import explore, measure


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
