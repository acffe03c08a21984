"""Experiment `resnet_qat` (notebook 03): what it costs and buys to quantize only some layers.

Each function measures one thing and returns records; nothing is drawn here.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from qlab.classifier import answers as classification
from qlab.classifier import (
    export,
    fine_tune_memory,
    model_inputs,
    model_update,
    network_bytes,
    partial_qat,
)
from qlab.classifier import points as qat_sweep
from qlab.classifier.data import Task
from qlab.classifier.distributed_training import Configuration
from qlab.classifier.network_bytes import Traffic
from qlab.classifier.points import Answer, Bench, Point
from qlab.classifier.sweep import EXPERIMENT, PARENT
from qlab.core import int4, measured, stats, timing
from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.records import Record
from qlab.core.stats import Estimate

# Which graph is judged: its metric.
GRAPHS = {
    "tflite": "accuracy",
    "float": "accuracy_float_graph",
    "fake_quant": "accuracy_fake_quant",
    "equal_time": "accuracy_equal_time",
}
REPEATS = {"smoke": 6, "mini": 30, "full": 100}  # timed inferences
PACKAGES = ["tensorflow", "tf-keras", "tensorflow-model-optimization", "ai-edge-litert"]
PACKAGES += ["ai-edge-quantizer", "numpy"]
Answers = Mapping[Point, Answer]  # what each point's file says

_estimated = partial(measured.estimated, EXPERIMENT)
_counted = partial(measured.counted, EXPERIMENT)


def device(threads: int) -> str:
    """What a time was measured on; the processor's name is in the provenance."""
    return f"cpu_{threads}_threads"


def accuracy_records(task: Task, parent: Answer, answers: Answers) -> list[Record]:
    """Accuracy of each graph, calibration error, and comparisons on the same test examples.

    A point's file is compared with the float parent's, and with the file of the float control that
    was fine-tuned from the same seed (`accuracy_minus_tuned`).
    """
    labels = task.test.labels
    hits = {p: _hits(a, labels) for p, a in answers.items()}
    before = _hits(parent, labels)
    found = _answer_records(task, PARENT, parent, before)
    for point, answer in answers.items():
        if "diverged_at_step" in answer.facts:
            step = answer.facts["diverged_at_step"]
            found.append(
                _counted(task, point.variant, "diverged_at_step", "step", step, seed=point.seed)
            )
            continue
        more = {} if point.method == "ptq" else {"seed": point.seed}
        found += _answer_records(task, point.variant, answer, hits[point], **more)
        flips = stats.paired(before["tflite"], hits[point]["tflite"])
        found += measured.compared(
            EXPERIMENT, task, point.variant, "accuracy", task.test.noun, flips, **more
        )
        control = hits.get(Point("tuned", seed=point.seed))
        if point.method.startswith("qat") and control:
            flips = stats.paired(control["tflite"], hits[point]["tflite"])
            found.append(
                _estimated(
                    task, point.variant, "accuracy_minus_tuned", "1", flips.difference, **more
                )
            )
    return found


def left_float_records(task: Task, bench: Bench, parent: Answer, threads: int) -> list[Record]:
    """Accuracy of 8-bit PTQ of all layers where what feeds the last one stays float.

    The variant's name ends in `_but_` and the layers'.
    """
    feeding = tuple(partial_qat.feeding(bench.model, bench.layers[-1]))
    left = Bench(replace(task, leave_float=(*task.leave_float, *feeding)))
    point = Point("ptq", "last", len(left.layers))
    hits = _hits(qat_sweep.answer(point, left, threads), task.test.labels)["tflite"]
    variant = f"{point.variant}_but_{'_'.join(feeding)}"
    flips = stats.paired(_hits(parent, task.test.labels)["tflite"], hits)
    share = stats.proportion(int(hits.sum()), len(hits))
    return [
        _estimated(task, variant, "accuracy", "1", share),
        *measured.compared(EXPERIMENT, task, variant, "accuracy", task.test.noun, flips),
    ]


def _hits(answer: Answer, labels: np.ndarray) -> dict[str, np.ndarray]:
    return {g: classification.correct(p, labels) for g, p in answer.probabilities.items()}


def _answer_records(
    task: Task, variant: str, answer: Answer, hits: Mapping[str, np.ndarray], **more
) -> list[Record]:
    found = [
        _estimated(task, variant, GRAPHS[g], "1", stats.proportion(int(h.sum()), len(h)), **more)
        for g, h in hits.items()
    ]
    error = classification.calibration_error(answer.probabilities["tflite"], task.test.labels)
    return [*found, _estimated(task, variant, "calibration_error", "1", error, **more)]


def size_records(task: Task, bench: Bench, answers: Answers) -> list[Record]:
    """Bytes of each file, raw and gzip-compressed, and what its weights need by arithmetic.

    One seed's file stands for a variant: the sizes of the others differ by some bytes at most.
    """
    found = _size_records(task, bench, PARENT, bench.float_file.read_bytes(), [], 32)
    for point, answer in answers.items():
        if point.seed == 0 and answer.file and point.method != "tuned":
            chosen = partial_qat.choose(bench.layers, point.where, point.k)
            content = answer.file.read_bytes()
            found += _size_records(task, bench, point.variant, content, chosen, point.bits)
    return found


def _size_records(
    task: Task, bench: Bench, variant: str, content: bytes, chosen: Sequence[str], bits: int
) -> list[Record]:
    weights = export.analytic_bytes(bench.model, bench.layers, dict.fromkeys(chosen, bits))
    sizes = partial_qat.parameters(bench.model, bench.layers)
    share = sum(sizes[name] for name in chosen) / sum(sizes.values())
    return [
        _counted(task, variant, "size_bytes", "byte", len(content)),
        _counted(task, variant, "size_gzip_bytes", "byte", len(gzip.compress(content, 6, mtime=0))),
        _counted(task, variant, "size_analytic_bytes", "byte", weights),
        _counted(task, variant, "quantized_layers", "layer", len(chosen)),
        _counted(task, variant, "quantized_share", "1", share, n=sum(sizes.values())),
    ]


def time_records(task: Task, answers: Answers, threads: int) -> list[Record]:
    """Step times and their ratio to the float twin's in the same rounds; whole fine-tuning."""
    found = []
    for point, answer in answers.items():
        if "step_s" not in answer.facts:
            continue
        more = {"seed": point.seed, "device": device(threads)}
        here = (task, point.variant)
        step, ratio = (Estimate(*answer.facts[name]) for name in ("step_s", "step_ratio"))
        ms = Estimate(step.value * 1e3, step.low * 1e3, step.high * 1e3, step.n)
        found += [
            _estimated(*here, "train_step_ms_p50", "ms", ms, **more),
            _estimated(*here, "train_step_ratio", "1", ratio, **more),
            _counted(*here, "train_steps", "step", answer.facts["steps"], **more),
        ]
        if "equal_time_steps" in answer.facts:
            steps = answer.facts["equal_time_steps"]
            found.append(_counted(*here, "equal_time_steps", "step", steps, **more))
        for meter, joules in answer.facts.get("joules", {}).items():
            found.append(_counted(*here, f"train_energy_j_{meter}", "J", joules, **more))
        if "train_s" in answer.facts:
            seconds, epochs = answer.facts["train_s"], task.training.epochs
            found.append(_counted(*here, "train_seconds", "s", seconds, **more))
            found.append(_counted(*here, "epoch_seconds", "s", seconds / epochs, epochs, **more))
    return found


def memory_records(task: Task, bench: Bench, progress=iter) -> list[Record]:
    """Peak bytes of a process that fine-tunes: float, the last layer, the first, all layers.

    Interpreter and TensorFlow are in them.
    """
    whole = len(bench.layers)
    places = [("last", 1), ("first", 1), ("last", whole)]
    points = [Point("qat", *p, bits) for bits in partial_qat.BITS for p in places]
    found = []
    for point in progress([Point("tuned"), *points]):
        chosen = partial_qat.choose(bench.layers, point.where, point.k)
        peak = fine_tune_memory.peak_memory(
            task.file, chosen, point.bits, task.leave_float, task.training.batch
        )
        found.append(_counted(task, point.variant, "train_peak_memory_bytes", "byte", peak))
    return found


def latency_records(
    task: Task, bench: Bench, answers: Answers, variants: Sequence[str], threads: int, progress=iter
) -> list[Record]:
    """Milliseconds of one example on LiteRT, files taken in turn; the graph alone is timed."""
    files = {PARENT: bench.float_file}
    files |= {p.variant: a.file for p, a in answers.items() if a.file and p.seed == 0}
    one = model_inputs.rows(task.test.inputs, slice(1))
    calls = {
        v: classification.one_example(files[v], one, threads)
        for v in [PARENT, *variants]
        if v in files
    }
    times = timing.interleaved(calls, REPEATS[task.profile], progress=progress)
    found = []
    for variant, seconds in times.items():
        for quantile in (50, 90):
            e = stats.median(seconds * 1e3, quantile / 100)
            found.append(
                _estimated(
                    task, variant, f"latency_ms_p{quantile}", "ms", e, device=device(threads)
                )
            )
        ratio = stats.median(seconds / times[PARENT])
        found.append(_estimated(task, variant, "latency_ratio", "1", ratio, device=device(threads)))
    return found


def robustness_records(
    task: Task, bench: Bench, answers: Answers, threads: int, progress=iter
) -> list[Record]:
    """Accuracy of files on corrupted test examples, and against the float parent on the same ones.

    Of the float control and of the points with all layers quantized, of the first seed; not of PTQ
    at 4 bits, of which too little is left. The data set's name carries the corruption:
    `shapes32_noise2`.
    """
    files = {PARENT: bench.float_file}
    files |= {
        p.variant: _fast(a.file)
        for p, a in answers.items()
        if a.file and p.seed == 0 and (p.method == "tuned" or p.k == len(bench.layers))
        if (p.method, p.bits) != ("ptq", 4)
    }
    found = []
    for name, inputs in progress(task.test.corrupted_sets()):
        data = f"{task.dataset}_{name}"
        hits = {
            v: classification.correct(
                classification.tflite_probabilities(f, inputs, threads), task.test.labels
            )
            for v, f in files.items()
        }
        for variant, one in hits.items():
            share = stats.proportion(int(one.sum()), len(one))
            found.append(_estimated(task, variant, "accuracy", "1", share, dataset=data))
            if variant != PARENT:
                flips = stats.paired(hits[PARENT], one)
                found.append(
                    _estimated(
                        task, variant, "accuracy_difference", "1", flips.difference, dataset=data
                    )
                )
    return found


def network_records(task: Task, bench: Bench, progress=iter) -> list[Record]:
    """Bytes that fine-tuning sends on two worker processes, counted, and reckoned; by k of `last`.

    `..._trained_only` freezes all layers but the quantized.
    """
    examples = task.train.first(min(64, len(task.train)))
    configurations = _configurations(bench)
    recipe = {
        "model": file_sha256(task.file),
        "configurations": [asdict(c) for c in configurations],
        "code": code_sha256(__name__),
        "versions": versions("tensorflow", "tf-keras", "tensorflow-model-optimization"),
    }

    def make(folder: Path) -> None:
        found = network_bytes.measure(task.file, configurations, examples, progress=progress)
        (folder / "traffic.json").write_text(json.dumps(found, indent=1))

    kept = artefact("qat_traffic", recipe, make) / "traffic.json"
    return [r for t in json.loads(kept.read_text()) for r in _traffic_records(task, Traffic(*t))]


def _configurations(bench: Bench) -> list[Configuration]:
    whole, left = len(bench.layers), bench.task.leave_float
    chosen = [tuple(partial_qat.choose(bench.layers, "last", k)) for k in range(1, whole + 1)]
    return [
        Configuration(PARENT),
        *(Configuration(Point("qat", "last", len(c)).variant, c, leave_float=left) for c in chosen),
        *(
            Configuration(f"{Point('qat', 'last', k).variant}_trained_only", chosen[k - 1],
                          trained=chosen[k - 1], leave_float=left)
            for k in (1, max(2, whole // 3))
        ),
    ]  # fmt: skip


def _traffic_records(task: Task, traffic: Traffic) -> list[Record]:
    here = (task, traffic.name)
    more = {"device": "2_workers"}
    counted = stats.median(np.array(traffic.step_bytes))
    return [
        _estimated(*here, "network_step_bytes", "byte", counted, **more),
        _counted(*here, "network_step_analytic_bytes", "byte", traffic.analytic_bytes, **more),
        _counted(*here, "network_gradient_bytes", "byte", traffic.gradient_bytes, **more),
        _counted(*here, "network_messages", "message", traffic.messages, **more),
    ]


def update_records(task: Task, bench: Bench) -> list[Record]:
    """Bytes of one federated update of the last k layers: by arithmetic, and of a real message."""
    found = []
    for k in range(1, len(bench.layers) + 1):
        chosen = partial_qat.choose(bench.layers, "last", k)
        for bits in (32, *partial_qat.BITS):
            name = f"update_w{bits}_last{k}"
            reckoned = model_update.update_bytes(bench.model, chosen, bits)
            message = len(model_update.serialized_update(bench.model, chosen, bits))
            found.append(_counted(task, name, "update_bytes", "byte", reckoned))
            found.append(_counted(task, name, "update_message_bytes", "byte", message))
    return found


def _fast(file: Path) -> Path:
    """The same file with 4-bit weights in 8 bits, whose kernels are fast."""
    recipe = {"file": file_sha256(file), "code": code_sha256(__name__)}

    def make(folder: Path) -> None:
        (folder / file.name).write_bytes(int4.widened(file))

    return artefact("int4_widened", recipe, make) / file.name
