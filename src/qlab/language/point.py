"""One point of a sweep over experiment `llama_gptq`: a variant built and judged as in notebook 02.

Nothing is timed: points run beside each other. Only metrics that come out the same again are kept.
"""

import dataclasses

import numpy as np

from qlab.core.errors import QlabError
from qlab.core.records import Record
from qlab.language import build, data
from qlab.language import measure as llama_gptq
from qlab.language.data import EMBEDDED_MODEL, Task
from qlab.run import sweep

PACKAGES = llama_gptq.PACKAGES


def measure(profile: str, threads: int, **values) -> tuple[Task, list[Record]]:
    """Task and records of a point: bytes, accuracies, and comparisons with the float parent.

    `values` are those of `sweeps.STUDIES`. Seed 0 calibrates on the notebook's passages; another
    on as many drawn from them with replacement, which is how much the choice of passages matters.
    """
    seed = values.get("seed")
    task = _task(profile, values["model"], threads)
    task = recalibrated(task, seed) if seed else task
    name = build.parent_name(task)
    if values["method"] != sweep.FLOAT:
        name = sweep.variant(sweep.STUDIES[llama_gptq.EXPERIMENT], values)
    built = build.build(task, [name], profile, seed or 0)
    scores = build.evaluate(task, built)
    if name not in scores:
        raise QlabError(f"{name} of {task.model} ran out of memory; give the sweep more `mem_mb`.")
    found = llama_gptq.size_records(task, {name: built[name]})
    found += llama_gptq.accuracy_records(task, scores, seed or 0)
    return task, [_seeded(r, seed) for r in found if r.variant == name]


def _task(profile: str, model: str, threads: int) -> Task:
    even = EMBEDDED_MODEL + build.EVEN
    own = "" if model in (EMBEDDED_MODEL, even) else model
    task = data.prepare(data.Parameters(profile=profile, model=own, threads=threads))
    return build.even_twin(task) if model == even else task


def recalibrated(task: Task, seed: int) -> Task:
    """The same task, calibrated on a bootstrap sample of its calibration passages."""
    count = len(task.calibration)
    drawn = np.random.default_rng(seed).integers(count, size=count)
    return dataclasses.replace(
        task,
        calibration=[task.calibration[i] for i in drawn],
        calibration_tokens=[task.calibration_tokens[i] for i in drawn],
    )


def _seeded(record: Record, seed: int | None) -> Record:
    return record if seed is None else dataclasses.replace(record, seed=seed)
