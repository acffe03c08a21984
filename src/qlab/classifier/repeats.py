"""What comes of several seeds: differences over seeds and images, from the points' answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from qlab.classifier import answers as classification
from qlab.classifier.data import Task
from qlab.classifier.metrics import RECORD, Answers, recorded
from qlab.classifier.partial_qat import BITS
from qlab.classifier.points import Answer, Point
from qlab.core.records import Record
from qlab.core.stats import Estimate, difference_over_seeds


def seed_records(task: Task, parent: Answer, answers: Answers) -> list[Record]:
    """QAT over its seeds: minus float, minus the float control, minus PTQ of the same layers and
    bits, and the first k layers minus the last k; the same of all k together, of PTQ too. See
    `stats.difference_over_seeds`. None where a seed failed: the others may be better.
    """
    hits = {p: hits_of(a, task.test.labels).get("tflite") for p, a in answers.items()}
    hits = {p: h for p, h in hits.items() if h is not None}
    before, asked = hits_of(parent, task.test.labels)["tflite"], seeds_of(answers)
    found = []
    for one, seeds in seeds_of(hits).items():
        if seeds != asked[one]:
            continue
        others = {"difference": before[None]}
        if one.method == "qat":
            others["minus_tuned"] = outcomes_of(hits, Point("tuned"), seeds)
            others["minus_ptq"] = outcomes_of(hits, replace(one, method="ptq"), [0])
        if one.where == "first":
            others["minus_last"] = outcomes_of(hits, replace(one, where="last"), seeds)
        each = outcomes_of(hits, one, seeds)
        there = {name: other for name, other in others.items() if other is not None}
        numbers = {f"accuracy_{name}_over_seeds": minus(each, x) for name, x in there.items()}
        found += recorded(task, one, numbers, seeded=False)
    return found + _end_records(task, hits)


def _end_records(task: Task, hits: Mapping[Point, np.ndarray]) -> list[Record]:
    """First k layers minus last k, the mean over every k that both ends have."""
    found = []
    for method, bits in product(("ptq", "qat"), BITS):
        firsts = [p for p in hits if (p.method, p.bits, p.where) == (method, bits, "first")]
        seeds = sorted({p.seed for p in firsts})
        pairs = [(p, replace(p, where="last")) for p in firsts if p.seed == 0]
        both = [[outcomes_of(hits, p, seeds) for p in pair] for pair in pairs]
        both = [pair for pair in both if pair[0] is not None and pair[1] is not None]
        if both:
            e = difference_over_seeds(*np.mean(np.array(both, float), axis=0))
            about = (task, f"{method}_w{bits}a8_first_minus_last", "accuracy_minus_last_over_seeds")
            columns = {"method": method, "bits": bits, "where": "first"}
            found.append(RECORD.estimated(*about, e, **columns))
    return found


def minus(each: np.ndarray, other: np.ndarray) -> Estimate:
    """Outcomes [seeds, images] minus others of as many seeds, or of one for all."""
    return difference_over_seeds(each, np.broadcast_to(other, each.shape))


def seeds_of(points: Iterable[Point]) -> dict[Point, list[int]]:
    """The seeds of what was trained; the point with seed 0 stands for it."""
    found: dict[Point, list[int]] = {}
    for point in points:
        if point.method in ("tuned", "qat"):
            found.setdefault(replace(point, seed=0), []).append(point.seed)
    return {point: sorted(seeds) for point, seeds in found.items()}


def outcomes_of(hits: Mapping, point: Point, seeds: Sequence[int]) -> np.ndarray | None:
    """Outcomes [seeds, images] of a point; None where a seed is missing."""
    each = [hits.get(replace(point, seed=seed)) for seed in seeds]
    return None if any(one is None for one in each) else np.stack(each)


def hits_of(answer: Answer, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Whether each graph is right, bool [images]."""
    return {g: classification.correct(p, labels) for g, p in answer.probabilities.items()}
