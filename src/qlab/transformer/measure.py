"""Experiment `transformer_qat` (notebook 06): from right and wrong answers to records."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from qlab.core import records, stats
from qlab.core.records import Record, Recorder

EXPERIMENT = "transformer_qat"
RECORD = Recorder(EXPERIMENT, records.metrics(__file__) | records.COMPARED)


class Point(NamedTuple):
    """One way to treat the model."""

    method: str  # "float", "tuned" (the control, trained as long in float), "ptq" or "qat"
    bits: int | None = None  # of the weights
    where: str | None = None  # which layers, by the notebook's name for them
    seed: int | None = None  # of the training
    group: int | None = None  # weights that share a scale

    @property
    def variant(self) -> str:
        """Its name in the records, the same for all seeds."""
        kind = {"float": "fp32", "tuned": "fp32_tuned"}.get(self.method)
        return kind or f"{self.method}_w{self.bits}_g{self.group}_{self.where}"

    @property
    def columns(self) -> dict:
        """The columns of its records, without the seed."""
        about = {"bits": self.bits, "group_size": self.group, "where": self.where}
        return about | {"method": None if self.method == "float" else self.method}


FLOAT = Point("float")
Hits = Mapping[Point, np.ndarray]  # which sentences each point gets right: bool [sentences]


def accuracy_records(task, hits: Hits) -> list[Record]:
    """Accuracy of each point, and its difference from float's on the same sentences."""
    found = []
    for point, right in hits.items():
        here, about = (task, point.variant), point.columns | {"seed": point.seed}
        share = stats.proportion(int(right.sum()), len(right))
        found.append(RECORD.estimated(*here, "accuracy", share, **about))
        if point != FLOAT:
            flips = stats.paired(hits[FLOAT], right)
            found += RECORD.compared(*here, "accuracy", flips, **about)
    return found


def seed_records(task, hits: Hits) -> list[Record]:
    """Each variant's accuracy over its seeds minus float's; after QAT also minus the float
    control's and PTQ's for the same layers; for a third of the weights minus the last third's; for
    attention minus the mean of the feed-forward network's halves. Seeds pair the trainings."""
    found = []
    for one in dict.fromkeys(p._replace(seed=None) for p in hits if p != FLOAT):
        seeds = sorted(p.seed for p in hits if p._replace(seed=None) == one and p != one) or [None]
        pairs = {"difference": [FLOAT]}
        if one.method == "qat":
            pairs |= {"minus_tuned": [Point("tuned")], "minus_ptq": [one._replace(method="ptq")]}
        if one.where in ("attention", "up", "down", "first_third"):
            pairs["minus_last_third"] = [one._replace(where="last_third")]
        if one.where == "attention":
            pairs["minus_feed_forward"] = [one._replace(where=half) for half in ("up", "down")]
        each = np.stack([hits[one._replace(seed=seed)] for seed in seeds])
        for name, others in pairs.items():
            same = [[hits.get(p._replace(seed=s), hits.get(p)) for s in seeds] for p in others]
            if all(right is not None for side in same for right in side):
                e = stats.difference_over_seeds(each, np.mean(same, axis=0))
                about = (task, one.variant, f"accuracy_{name}_over_seeds", e)
                found.append(RECORD.estimated(*about, **one.columns))
    return found
