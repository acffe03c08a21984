"""What can be swept of experiment `resnet_qat`, and one point of it, judged as in notebook 03.

Nothing is timed: points run beside each other.
"""

from dataclasses import replace
from typing import Literal

from qlab.core.parameters import Count, Positive
from qlab.core.parameters import Point as Swept

FILES = ("models/resnet8_shapes32", "models/resnet20_shapes32")  # of data/, that a point may read


class Ptq(Swept):
    """k layers quantized after training, which draws nothing."""

    method: Literal["ptq"]
    where: Literal["last", "first", "only"]
    k: Positive
    bits: Literal[8, 4]

    @property
    def variant(self) -> str:
        """Its name in the records."""
        return f"{self.method}_w{self.bits}a8_{self.where}{self.k}"


class Qat(Ptq):
    """The seed is fine-tuning's."""

    method: Literal["qat"]
    seed: Count


POINTS = {"float": Swept, "ptq": Ptq, "qat": Qat}


def measure(point: Swept, profile: str, threads: int) -> tuple:
    """Task and records of a point, and packages it used: accuracies, bytes, and comparisons with
    the float parent."""
    # Snakemake reads this module for every job, and needs no framework for it.
    from qlab.classifier import data, points
    from qlab.classifier import measure as notebook

    task = data.prepare(data.Parameters(profile=profile, model=point.model, threads=threads))
    bench, seed, answers = points.Bench(task), getattr(point, "seed", None), {}
    parent = points.parent(bench, threads)
    if point.method != "float":
        made = points.Point(**point.model_dump(exclude={"model"}))
        answers[made] = points.answer(made, bench, threads)
    found = notebook.accuracy_records(task, parent, answers)
    sizes = {replace(made, seed=0): answer for made, answer in answers.items()}
    found += [replace(r, seed=seed) for r in notebook.size_records(task, bench, sizes)]
    variant = points.PARENT if point.method == "float" else point.variant
    return task, [r for r in found if r.variant == variant], notebook.PACKAGES
