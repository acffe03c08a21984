"""Measured times: of a training step, and of one image through a file.

`python -m qlab.classifier.speed JSON` measures in a process of its own: JSON has the arguments of
`file_rounds` or of `step_rounds`.
"""

import itertools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qlab.classifier import answers as classification
from qlab.classifier import fine_tune, partial_qat
from qlab.classifier import model as keras_classifier
from qlab.classifier.data import Task
from qlab.classifier.points import FLOAT, Bench, Point
from qlab.classifier.sweep import Answers, recorded
from qlab.core import provenance, stats, timing
from qlab.core.records import Record

REPEATS = {"smoke": 6, "mini": 30, "small": 100, "full": 100}  # timed inferences
PROCESSES = 5  # fresh ones to time in; at smoke and mini, unless the sweep is long, this one
STEPS = 10  # timed training steps of each model, in each process


def latency_records(
    task: Task, bench: Bench, answers: Answers, timed: Sequence[Point], threads: int, progress=iter
) -> list[Record]:
    """Milliseconds per image on LiteRT, with the files run in turn; see `stats.of_rounds`."""
    files = {FLOAT: bench.float_file}
    files |= {p: answers[p].file for p in timed if p in answers and answers[p].file}
    told = {"files": [str(file) for file in files.values()], "threads": threads}
    told |= {"shape": [1, *task.test.images.shape[1:]], "repeats": REPEATS[task.given.profile]}
    return _timed(task, files, file_rounds, told, "latency", (0.5, 0.9), threads, progress)


def step_records(
    task: Task, bench: Bench, answers: Answers, threads: int, progress=iter
) -> list[Record]:
    """Time of a training step and its ratio to float's, for `step_points`, run in turn."""
    points = [p for p in step_points(task, bench) if p in answers and not answers[p].failed]
    told = {"file": str(task.file), "leave_float": task.leave_float, "rounds": STEPS}
    told |= {"settings": task.training, "logits": bench.logits}
    told |= {"models": [(bench.chosen(point), point.bits) for point in points]}
    return _timed(task, points, step_rounds, told, "train_step", (0.5,), threads, progress)


def _timed(
    task: Task, points: Iterable[Point], measure: Callable, told: dict[str, Any], what: str,
    quantiles: Sequence[float], threads: int, progress,
) -> list[Record]:  # fmt: skip
    """Quantiles over rounds of each point's milliseconds, in this process or in several, and its
    ratio to the first point's. `measure(**told)` returns seconds [points][rounds]."""
    if task.given.sweep == "short" and task.given.profile in ("smoke", "mini"):
        runs = [measure(**told)]
    else:
        runs = timing.in_processes(__name__, told, PROCESSES, progress)
    found, device = [], provenance.device(f"{threads} threads")
    for place, point in enumerate(points):
        each = [np.array(run[place]) for run in runs]
        ratios = [one / run[0] for one, run in zip(each, runs, strict=True)]
        spent = [1e3 * one for one in each]
        numbers = {f"{what}_ms_p{100 * q:.0f}": stats.of_rounds(spent, q) for q in quantiles}
        if place or what == "latency":
            numbers[f"{what}_ratio"] = stats.of_rounds(ratios, 0.5)
        found += recorded(task, point, numbers, seeded=False, device=device)
    return found


def step_points(task: Task, bench: Bench) -> list[Point]:
    """Float control; last layer at 8 bits, all at 8 and 4; in long sweeps 3 k from both ends."""
    whole, tuned = len(bench.layers), Point("tuned")
    if task.given.sweep != "long":
        return [tuned, *(Point("qat", "last", *p) for p in ((1, 8), (whole, 8), (whole, 4)))]
    chosen = [("last", whole), *itertools.product(("last", "first"), (1, whole // 2))]
    return [tuned, *(Point("qat", *p, bits) for bits in partial_qat.BITS for p in chosen)]


def file_rounds(
    files: Sequence[str], shape: Sequence[int], threads: int, repeats: int, seed: int = 0
) -> list[list[float]]:
    """Seconds that one image of `shape` takes through each .tflite, in turn: [files][repeats]."""
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    runs = {f: classification.runner(Path(f).read_bytes(), threads, 1) for f in files}
    calls = {f: partial(run, image) for f, run in runs.items()}
    times = timing.interleaved(calls, repeats, seed=seed)
    return [times[f].tolist() for f in files]


def step_rounds(
    file: str, models: Sequence, leave_float: Sequence[str], settings: Sequence, logits: bool,
    rounds: int, seed: int = 0,
) -> list[list[float]]:  # fmt: skip
    """Seconds per training step of each of `models` (layers to quantize, bits), run in turn."""
    model, settings = keras_classifier.load(file), fine_tune.Settings(*settings)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (settings.batch, *model.input_shape[1:])).astype(np.float32)
    labels, calls = rng.integers(0, model.output_shape[1], settings.batch), {}
    for place, (layers, bits) in enumerate(models):
        made = partial_qat.quantized(model, layers, bits, leave_float)
        made = fine_tune.compiled(made, settings, logits)
        calls[place] = lambda made=made: made.train_on_batch(images, labels)
    return [t.tolist() for t in timing.interleaved(calls, rounds, seed=seed).values()]


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    print(json.dumps(file_rounds(**told) if "files" in told else step_rounds(**told)))
