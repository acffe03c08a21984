"""Experiment `resnet_qat` (notebook 03): what it costs and buys to quantize only some layers.

Each function measures one thing and returns records; nothing is drawn here.
"""

import gzip
import itertools
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qlab.classifier import answers as classification
from qlab.classifier import export, network, partial_qat, points
from qlab.classifier.data import Task
from qlab.classifier.metrics import GRAPHS, RECORD, Answers, Worse
from qlab.classifier.network import Configuration, Traffic
from qlab.classifier.points import FLOAT, TRAINERS, Answer, Bench, Point, fast
from qlab.classifier.repeats import hits_of, outcomes_of, seeds_of
from qlab.core import corruptions, provenance, stats
from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.records import Record
from qlab.core.stats import Estimate

log = logging.getLogger(__name__)

PACKAGES = [*points.PACKAGES, "numpy"]


def accuracy_records(task: Task, parent: Answer, answers: Answers) -> list[Record]:
    """Accuracy of each graph, calibration error, and comparisons on the same test images.

    A point's file is compared with the float parent's, and with the file of the float control that
    was fine-tuned from the same seed (`accuracy_minus_tuned`).
    """
    labels = task.test.labels
    hits = {p: hits_of(a, labels) for p, a in answers.items()}
    before = hits_of(parent, labels)
    found = _answer_records(task, FLOAT, parent, before)
    for point, answer in answers.items():
        here, about = (task, point.variant), point.drawn
        if "failed" in answer.facts:
            found.append(RECORD.counted(*here, "failed", 1, **about))
            continue
        if "diverged_at_step" in answer.facts:
            step = answer.facts["diverged_at_step"]
            found.append(RECORD.counted(*here, "diverged_at_step", step, **about))
            continue
        found += _answer_records(task, point, answer, hits[point])
        if "steps" in answer.facts:
            steps = answer.facts["steps"]
            found.append(RECORD.counted(*here, "train_steps", steps, **about))
        flips = stats.paired(before["tflite"], hits[point]["tflite"])
        found += RECORD.compared(*here, "accuracy", flips, **about)
        control = hits.get(Point("tuned", seed=point.seed))
        if point.method in ("qat", "qatcold") and control:
            flips = stats.paired(control["tflite"], hits[point]["tflite"])
            difference = flips.difference
            found.append(RECORD.estimated(*here, "accuracy_minus_tuned", difference, **about))
    return found


def _share(hits: np.ndarray) -> Estimate:
    return stats.proportion(int(hits.sum()), len(hits))


def _answer_records(
    task: Task, point: Point, answer: Answer, hits: Mapping[str, np.ndarray]
) -> list[Record]:
    here, about = (task, point.variant), point.drawn
    found = [RECORD.estimated(*here, GRAPHS[g], _share(h), **about) for g, h in hits.items()]
    confidence = answer.probabilities["tflite"].max(1)
    error = classification.calibration_error(confidence, hits["tflite"])
    return [*found, RECORD.estimated(*here, "calibration_error", error, **about)]


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
    return [RECORD.counted(*here, metric, *count, **about) for metric, count in counts.items()]


def worse_answers(task: Task, bench: Bench, answers: Answers, threads: int, progress=iter) -> Worse:
    """What files answer on corrupted test images.

    Of the float parent, the float control and the points with all layers quantized.
    """
    files = {FLOAT: bench.float_file}
    files |= {
        p: fast(a.file)
        for p, a in answers.items()
        if a.file and (p.method == "tuned" or p.k == len(bench.layers)) and not p.rounding
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
            about = point.drawn | {"condition": kind, "strength": strength}
            found.append(RECORD.estimated(*here, "accuracy", _share(one), **about))
            if point != FLOAT:
                e = stats.paired(hits[FLOAT], one).difference
                found.append(RECORD.estimated(*here, "accuracy_difference", e, **about))
        for point, seeds in seeds_of(hits).items():
            each = outcomes_of(hits, point, seeds)
            e = stats.difference_over_seeds(each, np.broadcast_to(hits[FLOAT], each.shape))
            about = point.columns | {"condition": kind, "strength": strength}
            here = (task, point.variant, "accuracy_difference_over_seeds")
            found.append(RECORD.estimated(*here, e, **about))
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
        "configurations": [c._asdict() for c in configurations],
        "code": code_sha256(__name__),
        "versions": versions(*TRAINERS),
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
        RECORD.estimated(task, variant, "network_step_bytes", counted, **about),
        *(RECORD.counted(task, variant, metric, n, **about) for metric, n in counts.items()),
    ]


def update_records(task: Task, bench: Bench) -> list[Record]:
    """Bytes of one federated update of the last k layers, by arithmetic."""
    found = []
    for k, bits in itertools.product(range(1, len(bench.layers) + 1), network.UPDATE_BITS):
        chosen = partial_qat.choose(bench.layers, "last", k)
        about = {"method": "update", "bits": bits, "where": "last", "k": k}
        reckoned = network.update_bytes(bench.model, chosen, bits)
        here = (task, f"update_w{bits}_last{k}", "update_bytes")
        found.append(RECORD.counted(*here, reckoned, **about))
    return found
