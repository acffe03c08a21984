"""One point of a sweep over experiment `resnet_qat`: layers quantized and judged as in notebook 03.

Nothing is timed: points run beside each other. What depends on a time, such as the graph trained
for equal time, is left out.
"""

import dataclasses

from qlab.classifier import data, points
from qlab.classifier import measure as resnet_qat
from qlab.classifier.data import Task
from qlab.classifier.points import Answer, Bench, Point
from qlab.core.records import Record
from qlab.run import sweep

PACKAGES = resnet_qat.PACKAGES


def measure(profile: str, threads: int, **values) -> tuple[Task, list[Record]]:
    """Task and records of a point: accuracies, bytes, and comparisons with the float parent.

    `values` are those of `sweeps.STUDIES`; the seed is fine-tuning's.
    """
    given = data.Parameters(profile=profile, model=values["model"], threads=threads)
    task = data.prepare(given)
    bench = Bench(task)
    parent = points.parent(bench, threads)
    if values["method"] == sweep.FLOAT:
        found = resnet_qat.accuracy_records(task, parent, {})
        return task, found + resnet_qat.size_records(task, bench, {})
    seed = values.get("seed")
    point = Point(*(values[f] for f in ("method", "where", "k", "bits")), seed or 0)
    made = _untimed(points.answer(point, bench, threads))
    found = resnet_qat.accuracy_records(task, parent, {point: made})
    sizes = resnet_qat.size_records(task, bench, {dataclasses.replace(point, seed=0): made})
    found += [dataclasses.replace(record, seed=seed) for record in sizes]
    return task, [record for record in found if record.variant == point.variant]


def _untimed(answer: Answer) -> Answer:
    kept = {g: p for g, p in answer.probabilities.items() if g != "equal_time"}
    return answer._replace(probabilities=kept)
