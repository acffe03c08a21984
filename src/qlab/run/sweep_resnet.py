"""One point of a sweep over experiment `resnet_qat`: layers quantized and judged as in notebook 03.

Nothing is timed: points run beside each other. What depends on a time, such as the graph trained
for equal time, is left out.
"""

import dataclasses

from qlab import classification_task, qat_sweep, resnet_qat, sweeps
from qlab.classification_task import Task
from qlab.qat_sweep import Answer, Bench, Point
from qlab.records import Record

PACKAGES = resnet_qat.PACKAGES


def measure(profile: str, threads: int, **values) -> tuple[Task, list[Record]]:
    """Task and records of a point: accuracies, bytes, and comparisons with the float parent.

    `values` are those of `sweeps.STUDIES`; the seed is fine-tuning's.
    """
    task = classification_task.prepare(profile, values["model"], threads=threads)
    bench = Bench(task)
    parent = qat_sweep.parent(bench, threads)
    if values["method"] == sweeps.FLOAT:
        found = resnet_qat.accuracy_records(task, parent, {})
        return task, found + resnet_qat.size_records(task, bench, {})
    seed = values.get("seed")
    point = Point(*(values[f] for f in ("method", "where", "k", "bits")), seed or 0)
    made = _untimed(qat_sweep.answer(point, bench, threads))
    found = resnet_qat.accuracy_records(task, parent, {point: made})
    sizes = resnet_qat.size_records(task, bench, {dataclasses.replace(point, seed=0): made})
    found += [dataclasses.replace(record, seed=seed) for record in sizes]
    return task, [record for record in found if record.variant == point.variant]


def _untimed(answer: Answer) -> Answer:
    kept = {g: p for g, p in answer.probabilities.items() if g != "equal_time"}
    return answer._replace(probabilities=kept)
