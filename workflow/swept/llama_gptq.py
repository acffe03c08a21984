"""What can be swept in experiment `llama_gptq`; a point, judged as in notebook 02, never timed."""

import dataclasses
from typing import Literal

from swept.point import Point

from qlab.core.parameters import Count

FILES = ("models/llama_mini", "mini_lambada")  # under data/, that a point may read


class Rtn(Point):
    """Weights rounded to nearest, in which nothing is random."""

    method: Literal["rtn"]
    bits: Literal[8, 4, 3, 2]
    group: Literal[64, 128]

    @property
    def variant(self) -> str:
        """Its name in the records."""
        return f"{self.method}_w{self.bits}_g{self.group}"


class Gptq(Rtn):
    """`seed` is the calibration's: 0 for the notebook's passages, others for resamples of them."""

    method: Literal["gptq"]
    seed: Count


POINTS = {"float": Point, "rtn": Rtn, "gptq": Gptq}


def measure(point: Point, profile: str, threads: int) -> tuple:
    """Task and records of a point (bytes, accuracies, and comparisons with the float parent), and
    the packages it used."""
    # Snakemake reads this module for every job, and needs no framework for it.
    import numpy as np

    from qlab.language import build, data, gptq, scoring
    from qlab.language import measure as notebook

    seed = getattr(point, "seed", None)
    own = "" if point.model in (data.EMBEDDED_MODEL, data.EVEN_MODEL) else point.model
    task = data.prepare(data.Parameters(profile=profile, model=own, threads=threads))
    task = data.twin(task, 0.0) if point.model == data.EVEN_MODEL else task
    if seed:  # calibrated on a bootstrap sample of its calibration passages
        count = len(task.calibration)
        drawn = np.random.default_rng(seed).integers(count, size=count)
        parts = ("calibration", "calibration_tokens")
        changed = {part: [getattr(task, part)[i] for i in drawn] for part in parts}
        task = dataclasses.replace(task, **changed)
    making, kinds = {}, {"rtn": gptq.RoundToNearest, "gptq": gptq.Gptq}
    if kind := kinds.get(point.method):
        making = build.chosen(task, {point.variant: kind(point.bits, point.group)}, point.variant)
    built = build.folders(task, making)
    scores = build.evaluate(task, built)
    name = point.variant if making else next(iter(built))
    found = notebook.size_records(task, {name: built[name]})
    found += notebook.judged_records(task, built, scoring.table(task, scores), seed or 0)
    if seed is not None:
        found = [dataclasses.replace(record, seed=seed) for record in found]
    return task, [r for r in found if r.variant == name], notebook.PACKAGES
