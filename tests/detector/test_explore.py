"""Flips of single images are the records' own."""

import numpy as np
from PIL import Image

from qlab.core import records
from qlab.detector import explore, measure


def test_flips_are_those_of_the_records_and_images_add_up(task):
    work, results = task
    for path in work.images.values():
        Image.fromarray(np.full((500, 500, 3), 128, np.uint8)).save(path)
    rng = np.random.default_rng(1)
    worse = [r | {"score": r["score"] * rng.uniform(0.3, 1.3)} for r in results]
    found = {"fp32": results, "int8_static": worse}
    shown = explore.samples(work, found)
    table = records.as_table(measure.accuracy_records(work, found, measure.score(work, found)))
    lost, gained = (
        int(records.value(table, "int8_static", f"flips_{side}")) for side in ("lost", "gained")
    )
    assert lost > 0 and f"{lost} lost, {gained} gained of" in shown.children[-2].value
    single = [explore.objects(work, found, "int8_static", [i], 0.3) for i in work.images]
    assert sum((one["flip"] == "lost").sum() for one in single) == lost
    assert sum(map(len, single)) == sum(not a["iscrowd"] for a in work.coco.anns.values())
