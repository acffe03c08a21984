"""Experiment `transformer_qat` (notebook 06): from right and wrong answers to records."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from qlab.core import records, stats
from qlab.core.records import Metric, Record, Recorder
from qlab.core.stats import Estimate
from qlab.transformer.data import Task

EXPERIMENT = "transformer_qat"
AGAINST = ("difference", "minus_tuned", "minus_ptq", "minus_last_third", "minus_feed_forward")
METRICS = {
    **dict.fromkeys(["accuracy", "accuracy_difference"], Metric("1", 1)),
    **{f"accuracy_{other}_over_seeds": Metric("1", 1) for other in AGAINST},
    **records.COMPARED,
    **{"flips_lost": Metric("sentence", -1), "flips_gained": Metric("sentence")},
    **{"size_bytes": Metric("byte", -1), "quantized_share": Metric("1")},
    "train_step_ms_p50": Metric("ms", -1, clock=True),
    "train_step_ratio": Metric("1", -1, clock=True),
}
RECORD = Recorder(EXPERIMENT, METRICS)


class Point(NamedTuple):
    """One way to quantize; of the float model and its control, `method` alone says it."""

    method: str  # "float", "tuned" (trained as long, in float), "ptq" or "qat"
    bits: int | None = None  # of the weights
    where: str | None = None  # which layers: a key of the notebook's PLACES
    seed: int | None = None  # of the training
    group: int | None = None  # weights that share a scale

    @property
    def variant(self) -> str:
        """Its name in the records; seeds share one."""
        kind = {"float": "fp32", "tuned": "fp32_tuned"}.get(self.method)
        return kind or f"{self.method}_w{self.bits}_g{self.group}_{self.where}"

    @property
    def columns(self) -> dict:
        """The columns of its records, without the seed."""
        about = {"bits": self.bits, "group_size": self.group, "where": self.where}
        return about | {"method": None if self.method == "float" else self.method}


FLOAT = Point("float")
Hits = Mapping[Point, np.ndarray]  # of each point what was right: bool [sentences]


def accuracy_records(task: Task, hits: Hits) -> list[Record]:
    """Accuracy of each point, and its difference to float's on the same sentences."""
    found = []
    for point, right in hits.items():
        here, about = (task, point.variant), point.columns | {"seed": point.seed}
        share = stats.proportion(int(right.sum()), len(right))
        found.append(RECORD.estimated(*here, "accuracy", share, **about))
        if point != FLOAT:
            flips = stats.paired(hits[FLOAT], right)
            found += RECORD.compared(*here, "accuracy", flips, **about)
    return found


def seed_records(task: Task, hits: Hits) -> list[Record]:
    """Each variant over its seeds: minus float, and what was trained minus the float control, minus
    PTQ of the same layers and bits; and what takes as many bytes minus the last layers, attention
    minus the feed-forward network (the mean of its halves). See `over_seeds`."""
    found, ones = [], {p._replace(seed=None) for p in hits} - {FLOAT}
    for one in sorted(ones, key=lambda p: p.variant):
        pairs = {"difference": FLOAT}
        if one.method == "qat":
            pairs |= {"minus_tuned": Point("tuned"), "minus_ptq": one._replace(method="ptq")}
        if one.where in ("attention", "up", "down", "first_third"):
            pairs["minus_last_third"] = one._replace(where="last_third")
        each = _answers(hits, one)
        sides = {name: _answers(hits, other) for name, other in pairs.items()}
        if one.where == "attention":
            halves = [_answers(hits, one._replace(where=half)) for half in ("up", "down")]
            whole = all(half is not None for half in halves)
            sides["minus_feed_forward"] = np.mean(halves, axis=0) if whole else None
        for name, other in sides.items():
            if other is not None and len(other) in (1, len(each)):
                e = over_seeds(each, np.broadcast_to(other, each.shape))
                about = (task, one.variant, f"accuracy_{name}_over_seeds", e)
                found.append(RECORD.estimated(*about, **one.columns))
    return found


def over_seeds(each: np.ndarray, other: np.ndarray) -> Estimate:
    """Mean of each minus other, [seeds, sentences]: seeds and sentences are resampled, and `n` counts
    seeds. Of one seed, or where nothing differs, the interval is over sentences, and they are `n`.
    """
    if len(each) == 1 or (each == other).all():
        return stats.difference(other[0], each[0])
    return stats.over_seeds(each.astype(float) - other.astype(float))


def _answers(hits: Hits, one: Point) -> np.ndarray | None:
    """Of a point's seeds [seeds, sentences]; None where there are none."""
    seeds = sorted((p for p in hits if p._replace(seed=None) == one), key=lambda p: p.seed or 0)
    return np.stack([hits[p] for p in seeds]) if seeds else None


def items(task: Task, answers: Mapping[Point, np.ndarray]) -> pd.DataFrame:
    """One row a sentence, variant and seed: label, predicted class, probability of the label."""
    labels = task.test.labels.numpy()
    tables = [
        pd.DataFrame({
            "variant": point.variant, "seed": point.seed, "sentence": np.arange(len(labels)),
            "label": labels, "predicted": found.argmax(1),
            "of_label": found[np.arange(len(labels)), labels],
        })
        for point, found in answers.items()
    ]  # fmt: skip
    small = {"seed": "Int16", "sentence": "uint32", "label": "uint8", "predicted": "uint8"}
    return pd.concat(tables).astype(small | {"variant": "category", "of_label": "float32"})
