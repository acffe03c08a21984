"""What experiment `resnet_qat` can sweep, and one such point, evaluated as in notebook 03.

Nothing is timed, because points run in parallel.
"""

from dataclasses import replace
from typing import Literal

from swept.point import Point as Swept

from qlab.core.parameters import Count, Positive

FILES = ("models/resnet8_shapes32", "models/resnet20_shapes32")  # in data/, which a point may read


class Ptq(Swept):
    """k layers quantized after training; nothing is drawn at random."""

    method: Literal["ptq"]
    where: Literal["last", "first", "only"]
    k: Positive
    bits: Literal[8, 4]

    @property
    def variant(self) -> str:
        """The point's name in the records."""
        return f"{self.method}_w{self.bits}a8_{self.where}{self.k}"


class Qat(Ptq):
    """k layers quantized and fine-tuned; the seed is that of fine-tuning."""

    method: Literal["qat"]
    seed: Count


POINTS = {"float": Swept, "ptq": Ptq, "qat": Qat}


def measure(point: Swept, profile: str, threads: int) -> tuple:
    """Task and records of a point (accuracies, bytes, and comparisons with the float parent), and
    the packages it used."""
    # Imported here, because Snakemake reads this module for every job without needing a framework.
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
