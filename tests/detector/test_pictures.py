"""Flips of single images are the records' own."""

import numpy as np
from PIL import Image

from qlab.core import records
from qlab.detector import measure, pictures


def test_flips_are_those_of_the_records_and_images_add_up(task):
    work, results = task
    for path in work.images.values():
        Image.fromarray(np.full((500, 500, 3), 128, np.uint8)).save(path)
    rng = np.random.default_rng(1)
    worse = [r | {"score": r["score"] * rng.uniform(0.3, 1.3)} for r in results]
    found = {"fp32": results, "int8_static": worse}
    table = records.as_table(measure.accuracy_records(work, found, measure.score(work, found)))
    single = {i: pictures.flips(work, found, "int8_static", [i], 0.3) for i in work.images}
    for flip in ("lost", "gained"):
        counted = records.value(table, "int8_static", f"flips_{flip}")
        assert counted == sum((one == flip).sum() for one in single.values())
    assert any((one == "lost").any() for one in single.values())
    assert sum(map(len, single.values())) == sum(not a["iscrowd"] for a in work.coco.anns.values())
    most = max(single, key=lambda i: ((single[i] != "").sum(), -i))
    told = pictures.samples(work, found).children[-2].value
    lost, gained = ((single[most] == flip).sum() for flip in ("lost", "gained"))
    assert told.startswith(f"{most}.png") and f"{lost} are lost and {gained} are gained" in told
