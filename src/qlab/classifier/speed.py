"""What a clock says: of a training step, of one image through a file; and peak memory.

`python -m qlab.classifier.speed JSON` times in a process of its own: JSON has the arguments of
`file_rounds`, or those of `step_rounds`.
"""

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qlab.classifier import answers as classification
from qlab.classifier import fine_tune, partial_qat
from qlab.classifier import model as keras_classifier
from qlab.classifier.data import Task
from qlab.classifier.metrics import RECORD, Answers
from qlab.classifier.points import FLOAT, Bench, Point
from qlab.core import provenance, stats, timing
from qlab.core.records import Record

REPEATS = {"smoke": 6, "mini": 30, "small": 100, "full": 100}  # timed inferences
PROCESSES = {"smoke": 0, "mini": 0, "small": 5, "full": 5}  # fresh ones that are timed; 0: this one
LONG = 5  # the same of a long sweep
STEPS = 10  # timed training steps of each model, in each of them


def _timed(threads: int) -> dict[str, str]:
    """What a time was measured on."""
    return {"device": provenance.device(f"{threads} threads")}


def latency_records(
    task: Task, bench: Bench, answers: Answers, timed: Sequence[Point], threads: int, progress=iter
) -> list[Record]:
    """Milliseconds of one image on LiteRT, files taken in turn; the graph alone is timed.

    Where PROCESSES are timed, `n` counts them, and value and interval are of their figures.
    """
    files = {FLOAT: bench.float_file}
    files |= {p: answers[p].file for p in timed if p in answers and answers[p].file}
    told = {"files": [str(file) for file in files.values()], "threads": threads}
    told["shape"] = [1, *task.test.images.shape[1:]]
    told["repeats"] = REPEATS[task.given.profile]
    if count := _processes(task):
        runs = timing.in_processes(__name__, told, count, progress)
    else:
        runs = [file_rounds(**told, progress=progress)]
    found = []
    for place, point in enumerate(files):
        spent = [np.array(run[place]) * 1e3 for run in runs]
        ratios = [np.array(run[place]) / run[0] for run in runs]
        estimates = {
            "latency_ms_p50": stats.of_rounds(spent, 0.5),
            "latency_ms_p90": stats.of_rounds(spent, 0.9),
            "latency_ratio": stats.of_rounds(ratios, 0.5),
        }
        here, about = (task, point.variant), point.columns | _timed(threads)
        found += [RECORD.estimated(*here, metric, e, **about) for metric, e in estimates.items()]
    return found


def step_records(
    task: Task, bench: Bench, answers: Answers, threads: int, progress=iter
) -> list[Record]:
    """Time of a training step and its ratio to float's, models in turn, of `step_points`.

    Where PROCESSES are timed, `n` counts them, and value and interval are of their figures.
    """
    points = [p for p in step_points(task, bench) if p in answers]
    points = [p for p in points if "failed" not in answers[p].facts]
    chosen = [partial_qat.choose(bench.layers, p.where, p.k) for p in points]
    told = {"file": str(task.file), "leave_float": task.leave_float, "rounds": STEPS}
    told |= {"settings": task.training, "logits": bench.logits}
    told["models"] = [(layers, p.bits) for layers, p in zip(chosen, points, strict=True)]
    if count := _processes(task):
        runs = timing.in_processes(__name__, told, count, progress)
    else:
        runs = [step_rounds(**told)]
    found = []
    for place, point in enumerate(points):
        ms = stats.of_rounds([np.array(run[place]) * 1e3 for run in runs], 0.5)
        ratio = stats.of_rounds([np.array(run[place]) / run[0] for run in runs], 0.5)
        here, about = (task, point.variant), point.columns | _timed(threads)
        found.append(RECORD.estimated(*here, "train_step_ms_p50", ms, **about))
        if place:
            found.append(RECORD.estimated(*here, "train_step_ratio", ratio, **about))
    return found


def step_points(task: Task, bench: Bench) -> list[Point]:
    """Float; the last layer at 8 bits, all at 8 and 4; in a long sweep three k from both ends."""
    whole = len(bench.layers)
    if task.given.sweep != "long":
        return [
            Point("tuned"),
            *(Point("qat", "last", *p) for p in ((1, 8), (whole, 8), (whole, 4))),
        ]
    chosen = [("last", whole), *itertools.product(("last", "first"), (1, whole // 2))]
    return [Point("tuned"), *(Point("qat", *p, bits) for bits in partial_qat.BITS for p in chosen)]


def _processes(task: Task) -> int:
    """Fresh processes to time; 0: this one."""
    return LONG if task.given.sweep == "long" else PROCESSES[task.given.profile]


def memory_records(task: Task, bench: Bench, progress=iter) -> list[Record]:
    """Peak bytes of a process that fine-tunes: float, the last layer, the first, all layers.

    Interpreter and TensorFlow are in them.
    """
    places = [("last", 1), ("first", 1), ("last", len(bench.layers))]
    trained = [Point("qat", *p, bits) for bits in partial_qat.BITS for p in places]
    found = []
    for point in progress([Point("tuned"), *trained]):
        chosen = partial_qat.choose(bench.layers, point.where, point.k)
        peak = fine_tune.peak_memory(
            task.file, chosen, point.bits, task.leave_float, task.training.batch
        )
        about = (task, point.variant, "train_peak_memory_bytes", peak)
        found.append(RECORD.counted(*about, **point.columns))
    return found


def file_rounds(
    files: Sequence[str], shape: Sequence[int], threads: int, repeats: int, seed=0, progress=iter
) -> list[list[float]]:
    """Seconds of one image of `shape` through each .tflite, taken in turn: [files][repeats]."""
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    calls = {f: classification.one_image(Path(f), image, threads) for f in files}
    times = timing.interleaved(calls, repeats, progress=progress, seed=seed)
    return [times[f].tolist() for f in files]


def step_rounds(
    file: str, models: Sequence, leave_float: Sequence[str], settings: Sequence, logits: bool,
    rounds: int, seed: int = 0,
) -> list[list[float]]:  # fmt: skip
    """Seconds of a training step of each of `models` (layers to quantize, bits), taken in turn."""
    model, settings = keras_classifier.load(file), fine_tune.Settings(*settings)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (settings.batch, *model.input_shape[1:])).astype(np.float32)
    labels, calls = rng.integers(0, model.output_shape[1], settings.batch), {}
    for place, (layers, bits) in enumerate(models):
        made = partial_qat.quantized(model, layers, bits, leave_float)
        made = fine_tune.compiled(made, settings, logits)
        calls[place] = lambda made=made: made.train_on_batch(images, labels)
    return [times.tolist() for times in timing.interleaved(calls, rounds, seed=seed).values()]


def _main(told: dict) -> None:
    print(json.dumps(file_rounds(**told) if "files" in told else step_rounds(**told)))


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
