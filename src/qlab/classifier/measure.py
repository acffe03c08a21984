"""Experiment `resnet_qat` (notebook 03): what it costs and buys to quantize only some layers.

Each function measures one thing and returns records; nothing is drawn here.
"""

import gzip
import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from qlab.classifier import answers as classification
from qlab.classifier import export, fine_tune, model_update, network, partial_qat
from qlab.classifier.data import Task
from qlab.classifier.network import Configuration, Traffic
from qlab.classifier.points import FLOAT, Answer, Bench, Point
from qlab.classifier.sweep import EXPERIMENT
from qlab.core import corruptions, int4, provenance, records, stats, timing
from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.records import Metric, Record, Recorder
from qlab.core.stats import Estimate

log = logging.getLogger(__name__)

# Which graph is judged: its metric.
GRAPHS = {
    "tflite": "accuracy",
    "float": "accuracy_float_graph",
    "fake_quant": "accuracy_fake_quant",
    "equal_time": "accuracy_equal_time",
}
METRICS = {
    "accuracy": Metric("1", 1),
    "accuracy_float_graph": Metric("1", 1),
    "accuracy_fake_quant": Metric("1", 1),
    "accuracy_equal_time": Metric("1", 1, clock=True),  # a training that stops by the clock
    "accuracy_difference": Metric("1", 1),
    "accuracy_minus_tuned": Metric("1", 1),
    "calibration_error": Metric("1", -1),
    **records.COMPARED,
    "flips_lost": Metric("image", -1),
    "flips_gained": Metric("image"),
    "diverged_at_step": Metric("step"),
    "size_bytes": Metric("byte", -1),
    "size_gzip_bytes": Metric("byte", -1),
    "size_analytic_bytes": Metric("byte", -1),
    "quantized_layers": Metric("layer"),
    "quantized_share": Metric("1"),
    "train_step_ms_p50": Metric("ms", -1, clock=True),
    "train_step_ratio": Metric("1", -1, clock=True),
    "train_steps": Metric("step"),
    "equal_time_steps": Metric("step", clock=True),
    "train_seconds": Metric("s", -1, clock=True),
    "epoch_seconds": Metric("s", -1, clock=True),
    **{f"train_energy_j_{meter}": Metric("J", -1, clock=True) for meter in timing.METERS},
    "train_peak_memory_bytes": Metric("byte", -1, clock=True),
    "latency_ms_p50": Metric("ms", -1, clock=True),
    "latency_ms_p90": Metric("ms", -1, clock=True),
    "latency_ratio": Metric("1", -1, clock=True),
    "network_step_bytes": Metric("byte", -1, clock=True),  # acknowledgements and all
    "network_step_analytic_bytes": Metric("byte", -1),
    "network_gradient_bytes": Metric("byte", -1),
    "network_messages": Metric("message", -1),
    "update_bytes": Metric("byte", -1),
    "update_message_bytes": Metric("byte", -1),
}
REPEATS = {"smoke": 6, "mini": 30, "full": 100}  # timed inferences
PACKAGES = ["tensorflow", "tf-keras", "tensorflow-model-optimization", "ai-edge-litert"]
PACKAGES += ["ai-edge-quantizer", "numpy"]
Answers = Mapping[Point, Answer]  # what each point's file says
Worse = dict[tuple[str, int], dict[Point, np.ndarray]]  # condition, strength -> probabilities

_record = Recorder(EXPERIMENT, METRICS)


def accuracy_records(task: Task, parent: Answer, answers: Answers) -> list[Record]:
    """Accuracy of each graph, calibration error, and comparisons on the same test images.

    A point's file is compared with the float parent's, and with the file of the float control that
    was fine-tuned from the same seed (`accuracy_minus_tuned`).
    """
    labels = task.test.labels
    hits = {p: _hits(a, labels) for p, a in answers.items()}
    before = _hits(parent, labels)
    found = _answer_records(task, FLOAT, parent, before)
    for point, answer in answers.items():
        here, about = (task, point.variant), point.drawn
        if "diverged_at_step" in answer.facts:
            step = answer.facts["diverged_at_step"]
            found.append(_record.counted(*here, "diverged_at_step", step, **about))
            continue
        found += _answer_records(task, point, answer, hits[point])
        flips = stats.paired(before["tflite"], hits[point]["tflite"])
        found += _record.compared(*here, "accuracy", flips, **about)
        control = hits.get(Point("tuned", seed=point.seed))
        if point.method in ("qat", "qatcold") and control:
            flips = stats.paired(control["tflite"], hits[point]["tflite"])
            difference = flips.difference
            found.append(_record.estimated(*here, "accuracy_minus_tuned", difference, **about))
    return found


def left_float_records(task: Task, parent: Answer, controls: Answers) -> list[Record]:
    """Accuracy of points that leave more layers float than the task does."""
    before = _hits(parent, task.test.labels)["tflite"]
    found = []
    for point, answer in controls.items():
        hits = _hits(answer, task.test.labels)["tflite"]
        here, about = (task, point.variant), point.drawn
        found.append(_record.estimated(*here, "accuracy", _share(hits), **about))
        found += _record.compared(*here, "accuracy", stats.paired(before, hits), **about)
    return found


def _hits(answer: Answer, labels: np.ndarray) -> dict[str, np.ndarray]:
    return {g: classification.correct(p, labels) for g, p in answer.probabilities.items()}


def _share(hits: np.ndarray) -> Estimate:
    return stats.proportion(int(hits.sum()), len(hits))


def _answer_records(
    task: Task, point: Point, answer: Answer, hits: Mapping[str, np.ndarray]
) -> list[Record]:
    here, about = (task, point.variant), point.drawn
    found = [_record.estimated(*here, GRAPHS[g], _share(h), **about) for g, h in hits.items()]
    confidence = answer.probabilities["tflite"].max(1)
    error = classification.calibration_error(confidence, hits["tflite"])
    return [*found, _record.estimated(*here, "calibration_error", error, **about)]


def size_records(task: Task, bench: Bench, answers: Answers) -> list[Record]:
    """Bytes of each file, raw and gzip-compressed, and what its weights need by arithmetic.

    One seed's file stands for a variant: the sizes of the others differ by some bytes at most.
    """
    found = _size_records(task, bench, FLOAT, bench.float_file.read_bytes())
    for point, answer in answers.items():
        if point.seed == 0 and answer.file and point.method != "tuned":
            found += _size_records(task, bench, point, answer.file.read_bytes())
    return found


def _size_records(task: Task, bench: Bench, point: Point, content: bytes) -> list[Record]:
    chosen = partial_qat.choose(bench.layers, point.where, point.k)  # k is 0 of the parent
    weights = export.analytic_bytes(bench.model, bench.layers, dict.fromkeys(chosen, point.bits))
    sizes = partial_qat.parameters(bench.model, bench.layers)
    share, whole = sum(sizes[name] for name in chosen), sum(sizes.values())
    counts = {
        "size_bytes": (len(content), 1),
        "size_gzip_bytes": (len(gzip.compress(content, 6, mtime=0)), 1),
        "size_analytic_bytes": (weights, 1),
        "quantized_layers": (len(chosen), 1),
        "quantized_share": (share / whole, whole),
    }
    here, about = (task, point.variant), point.columns
    return [_record.counted(*here, metric, *count, **about) for metric, count in counts.items()]


def time_records(task: Task, answers: Answers, threads: int) -> list[Record]:
    """Step times and their ratio to the float twin's in the same rounds; whole fine-tuning."""
    found = []
    for point, answer in answers.items():
        if "step_s" not in answer.facts:
            continue
        here, about = (task, point.variant), point.drawn | _timed(threads)
        step, ratio = (Estimate(*answer.facts[name]) for name in ("step_s", "step_ratio"))
        ms = Estimate(step.value * 1e3, step.low * 1e3, step.high * 1e3, step.n)
        found += [
            _record.estimated(*here, "train_step_ms_p50", ms, **about),
            _record.estimated(*here, "train_step_ratio", ratio, **about),
        ]
        counts = {"train_steps": (answer.facts["steps"], 1)}
        if "equal_time_steps" in answer.facts:
            counts["equal_time_steps"] = (answer.facts["equal_time_steps"], 1)
        for meter, joules in answer.facts.get("joules", {}).items():
            counts[f"train_energy_j_{meter}"] = (joules, 1)
        if "train_s" in answer.facts:
            seconds, epochs = answer.facts["train_s"], task.training.epochs
            counts["train_seconds"] = (seconds, 1)
            counts["epoch_seconds"] = (seconds / epochs, epochs)
        found += [_record.counted(*here, metric, *c, **about) for metric, c in counts.items()]
    return found


def _timed(threads: int) -> dict[str, str]:
    """What a time was measured on."""
    return {"device": provenance.device(f"{threads} threads")}


def memory_records(task: Task, bench: Bench, progress=iter) -> list[Record]:
    """Peak bytes of a process that fine-tunes: float, the last layer, the first, all layers.

    Interpreter and TensorFlow are in them.
    """
    places = [("last", 1), ("first", 1), ("last", len(bench.layers))]
    points = [Point("qat", *p, bits) for bits in partial_qat.BITS for p in places]
    found = []
    for point in progress([Point("tuned"), *points]):
        chosen = partial_qat.choose(bench.layers, point.where, point.k)
        peak = fine_tune.peak_memory(
            task.file, chosen, point.bits, task.leave_float, task.training.batch
        )
        about = (task, point.variant, "train_peak_memory_bytes", peak)
        found.append(_record.counted(*about, **point.columns))
    return found


def latency_records(
    task: Task, bench: Bench, answers: Answers, points: Sequence[Point], threads: int, progress=iter
) -> list[Record]:
    """Milliseconds of one image on LiteRT, files taken in turn; the graph alone is timed."""
    files = {FLOAT: bench.float_file}
    files |= {p: answers[p].file for p in points if p in answers and answers[p].file}
    one = task.test.images[:1]
    calls = {p: classification.one_image(file, one, threads) for p, file in files.items()}
    times = timing.interleaved(calls, REPEATS[task.given.profile], progress=progress)
    found = []
    for point, seconds in times.items():
        estimates = {
            "latency_ms_p50": stats.median(seconds * 1e3, 0.5),
            "latency_ms_p90": stats.median(seconds * 1e3, 0.9),
            "latency_ratio": stats.median(seconds / times[FLOAT]),
        }
        here, about = (task, point.variant), point.columns | _timed(threads)
        found += [_record.estimated(*here, metric, e, **about) for metric, e in estimates.items()]
    return found


def worse_answers(task: Task, bench: Bench, answers: Answers, threads: int, progress=iter) -> Worse:
    """What files answer on corrupted test images.

    Of the float parent, the float control and the points with all layers quantized, of the first
    seed; not of PTQ at 4 bits, of which too little is left.
    """
    files = {FLOAT: bench.float_file}
    files |= {
        p: _fast(a.file)
        for p, a in answers.items()
        if a.file and p.seed == 0 and (p.method == "tuned" or p.k == len(bench.layers))
        if (p.method, p.bits) != ("ptq", 4)
    }
    found = {}
    for kind, strength in progress(
        list(itertools.product(corruptions.KINDS, corruptions.STRENGTHS))
    ):
        images = [corruptions.corrupt(x, kind, strength, i) for i, x in enumerate(task.test.images)]
        found[kind, strength] = {
            p: classification.tflite_probabilities(f, np.stack(images), threads)
            for p, f in files.items()
        }
    return found


def robustness_records(task: Task, worse: Worse) -> list[Record]:
    """Accuracy on corrupted test images, and against the float parent on the same ones."""
    found = []
    for (kind, strength), answers in worse.items():
        hits = {p: classification.correct(a, task.test.labels) for p, a in answers.items()}
        for point, one in hits.items():
            here = (task, point.variant)
            about = point.columns | {"condition": kind, "strength": strength}
            found.append(_record.estimated(*here, "accuracy", _share(one), **about))
            if point != FLOAT:
                e = stats.paired(hits[FLOAT], one).difference
                found.append(_record.estimated(*here, "accuracy_difference", e, **about))
    return found


def network_records(task: Task, bench: Bench, progress=iter) -> list[Record]:
    """Bytes that fine-tuning sends on two worker processes, counted, and reckoned; by k of `last`.

    `..._trained_only` freezes all layers but the quantized. None where this machine lets nobody
    make a network namespace, which is logged.
    """
    if not network.possible():
        log.warning("Bytes on the network were not counted: `unshare --net` is not to be had here.")
        return []
    images = task.train.first(min(64, len(task.train)))
    configurations = _configurations(bench)
    recipe = {
        "model": file_sha256(task.file),
        "configurations": [asdict(c) for c in configurations],
        "code": code_sha256(__name__),
        "versions": versions("tensorflow", "tf-keras", "tensorflow-model-optimization"),
    }

    def make(folder: Path) -> None:
        found = network.measure(task.file, configurations, images, progress)
        (folder / "traffic.json").write_text(json.dumps(found, indent=1))

    kept = artefact("qat_traffic", recipe, make) / "traffic.json"
    traffic = [Traffic(*t) for t in json.loads(kept.read_text())]
    pairs = zip(configurations, traffic, strict=True)
    return [r for pair in pairs for r in _traffic_records(task, *pair)]


def _configurations(bench: Bench) -> list[Configuration]:
    """The float model, the last k layers quantized, and two of these with the others frozen."""
    whole, left = len(bench.layers), bench.task.leave_float
    chosen = [tuple(partial_qat.choose(bench.layers, "last", k)) for k in range(whole + 1)]
    frozen = [chosen[k] for k in (1, max(2, whole // 3))]
    return [
        *(Configuration(c, leave_float=left) for c in chosen),
        *(Configuration(c, trained=c, leave_float=left) for c in frozen),
    ]


def _traffic_records(task: Task, made: Configuration, traffic: Traffic) -> list[Record]:
    point = Point("qat", "last", len(made.layers)) if made.layers else FLOAT
    variant, about = point.variant, point.columns
    if made.trained is not None:
        variant, about = f"{variant}_trained_only", about | {"method": "qat_trained_only"}
    about |= {"device": provenance.device("2 workers")}
    counted = stats.median(np.array(traffic.step_bytes))
    counts = {
        "network_step_analytic_bytes": traffic.analytic_bytes,
        "network_gradient_bytes": traffic.gradient_bytes,
        "network_messages": traffic.messages,
    }
    return [
        _record.estimated(task, variant, "network_step_bytes", counted, **about),
        *(_record.counted(task, variant, metric, n, **about) for metric, n in counts.items()),
    ]


def update_records(task: Task, bench: Bench) -> list[Record]:
    """Bytes of one federated update of the last k layers: by arithmetic, and of a real message."""
    found = []
    for k in range(1, len(bench.layers) + 1):
        chosen = partial_qat.choose(bench.layers, "last", k)
        for bits in model_update.UPDATE_BITS:
            here = (task, f"update_w{bits}_last{k}")
            about = {"method": "update", "bits": bits, "where": "last", "k": k}
            reckoned = model_update.update_bytes(bench.model, chosen, bits)
            message = len(model_update.serialized_update(bench.model, chosen, bits))
            found.append(_record.counted(*here, "update_bytes", reckoned, **about))
            found.append(_record.counted(*here, "update_message_bytes", message, **about))
    return found


def _fast(file: Path) -> Path:
    """The same file with 4-bit weights in 8 bits, whose kernels are fast."""
    recipe = {"file": file_sha256(file), "code": code_sha256(__name__)}

    def make(folder: Path) -> None:
        (folder / file.name).write_bytes(int4.widened(file))

    return artefact("int4_widened", recipe, make) / file.name
