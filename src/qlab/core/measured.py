"""Records of a task's estimates, counts and paired comparisons."""

from typing import Protocol

from qlab.core.records import Record
from qlab.core.stats import Estimate, Flips


class Subject(Protocol):
    """What is measured: a model on a data set, as an experiment's task names them."""

    @property
    def model(self) -> str:
        """The model's name in the records."""

    @property
    def dataset(self) -> str:
        """The data set's name in the records."""


def estimated(
    experiment: str, task: Subject, variant: str, metric: str, unit: str, e: Estimate, **more
) -> Record:
    """A number with its interval; `more` are other columns of the record."""
    return Record(
        experiment, task.model, more.pop("dataset", task.dataset), variant, metric,
        e.value, unit, e.low, e.high, e.n, **more,
    )  # fmt: skip


def counted(
    experiment: str, task: Subject, variant: str, metric: str, unit: str, value: float, n=1, **more
) -> Record:
    """A counted, not estimated, number: no interval."""
    dataset = more.pop("dataset", task.dataset)
    return Record(experiment, task.model, dataset, variant, metric, float(value), unit, n=n, **more)


def compared(
    experiment: str,
    task: Subject,
    variant: str,
    metric: str,
    unit: str,
    flips: Flips,
    prefix: str = "",
    **more,
) -> list[Record]:
    """A variant's paired difference of `metric` to its parent, flips of items called `unit`, test.

    `prefix` goes before the names of flips and test where a variant has several such comparisons;
    `more` are other columns of the records.
    """
    n = flips.difference.n
    here = (experiment, task, variant)
    return [
        estimated(*here, f"{metric}_difference", "1", flips.difference, **more),
        estimated(*here, f"{prefix}flip_rate", "1", flips.rate, **more),
        counted(*here, f"{prefix}flips_lost", unit, flips.lost, n, **more),
        counted(*here, f"{prefix}flips_gained", unit, flips.gained, n, **more),
        counted(*here, f"{prefix}mcnemar_p", "1", flips.p_value, n, **more),
        counted(*here, f"{prefix}detectable_difference", "1", flips.detectable, n, **more),
    ]
