"""Experiment `resnet_qat` (notebook 03): what it costs and buys to quantize only some layers.

Each function measures one thing and returns records; nothing is drawn here.
"""

import gzip
import json
import logging
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from qlab.classifier import answers as classification
from qlab.classifier import export, network, partial_qat, points
from qlab.classifier.data import Task
from qlab.classifier.metrics import GRAPHS, RECORD, Answers, Worse, recorded
from qlab.classifier.points import FLOAT, Answer, Bench, Point
from qlab.classifier.repeats import hits_of, minus, outcomes_of, seeds_of
from qlab.core import corruptions, provenance, stats
from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.records import Record
from qlab.core.stats import Estimate

log = logging.getLogger(__name__)

PACKAGES = [*points.PACKAGES, "numpy"]
UPDATE_BITS = (4, 8, 32)  # in which a weight is sent


def accuracy_records(task: Task, parent: Answer, answers: Answers) -> list[Record]:
    """Accuracy of each graph, calibration error, and comparisons on the same test images.

    A point's file is compared with the float parent's, and with the file of the float control that
    was fine-tuned from the same seed (`accuracy_minus_tuned`). Of what failed or diverged there is
    a record of that alone.
    """
    found, whole = [], {FLOAT: parent, **answers}
    hits = {p: hits_of(a, task.test.labels) for p, a in whole.items()}
    for point, answer in whole.items():
        if gone := {"failed", "diverged_at_step"} & set(answer.facts):
            facts = {name: 1 if name == "failed" else answer.facts[name] for name in gone}
            found += recorded(task, point, facts)
            continue
        here = hits[point]["tflite"]
        numbers = {GRAPHS[graph]: _share(h) for graph, h in hits[point].items()}
        confidence = answer.probabilities["tflite"].max(1)
        numbers["calibration_error"] = classification.calibration_error(confidence, here)
        if "steps" in answer.facts:
            numbers["train_steps"] = answer.facts["steps"]
        control = hits.get(Point("tuned", seed=point.seed))
        if point.method in ("qat", "qatcold") and control:
            numbers["accuracy_minus_tuned"] = stats.paired(control["tflite"], here).difference
        found += recorded(task, point, numbers)
        if point != FLOAT:
            flips = stats.paired(hits[FLOAT]["tflite"], here)
            found += RECORD.compared(task, point.variant, "accuracy", flips, **point.drawn)
    return found


def _share(hits: np.ndarray) -> Estimate:
    return stats.proportion(int(hits.sum()), len(hits))


def size_records(task: Task, bench: Bench, answers: Answers) -> list[Record]:
    """Bytes of each file, raw and gzip-compressed, and what its weights need by arithmetic.

    One seed's file stands for a variant: the sizes of the others differ by some bytes at most.
    """
    files = {p: a.file for p, a in answers.items() if p.seed == 0 and p.method != "tuned"}
    found, each = [], partial_qat.parameters(bench.model, bench.layers)
    for point, file in {FLOAT: bench.float_file, **files}.items():
        if file is None:
            continue
        content, chosen = file.read_bytes(), bench.chosen(point)  # k is 0 of the parent
        bits = dict.fromkeys(chosen, point.bits)
        share, whole = sum(each[name] for name in chosen), sum(each.values())
        counts = {
            "size_bytes": len(content),
            "size_gzip_bytes": len(gzip.compress(content, 6, mtime=0)),
            "size_analytic_bytes": export.analytic_bytes(bench.model, bench.layers, bits),
            "quantized_layers": len(chosen),
            "quantized_share": Estimate(share / whole, np.nan, np.nan, whole),
        }
        found += recorded(task, point, counts, seeded=False)
    return found


def worse_answers(task: Task, bench: Bench, answers: Answers, threads: int, progress=iter) -> Worse:
    """What files answer on corrupted test images.

    Of the float parent, the float control and the points with all layers quantized.
    """
    found, files = {}, {FLOAT: bench.float_file}
    for point, answer in answers.items():
        whole = point.method == "tuned" or point.k == len(bench.layers)
        if answer.file and whole and not point.rounding:
            files[point] = answer.file
    for kind, strength in progress(list(product(corruptions.KINDS, corruptions.STRENGTHS))):
        images = [corruptions.corrupt(x, kind, strength, i) for i, x in enumerate(task.test.images)]
        ask = (np.stack(images), threads)
        answered = {p: classification.tflite_probabilities(f, *ask) for p, f in files.items()}
        found[kind, strength] = answered
    return found


def robustness_records(task: Task, worse: Worse) -> list[Record]:
    """Accuracy on corrupted test images, and against the float parent on the same ones."""
    found = []
    for (kind, strength), answers in worse.items():
        hits = {p: classification.correct(a, task.test.labels) for p, a in answers.items()}
        about = {"condition": kind, "strength": strength}
        for point, one in hits.items():
            numbers = {"accuracy": _share(one)}
            if point != FLOAT:
                numbers["accuracy_difference"] = stats.paired(hits[FLOAT], one).difference
            found += recorded(task, point, numbers, **about)
        for point, seeds in seeds_of(hits).items():
            e = minus(outcomes_of(hits, point, seeds), hits[FLOAT])
            over = {"accuracy_difference_over_seeds": e}
            found += recorded(task, point, over, seeded=False, **about)
    return found


def network_records(task: Task, bench: Bench, progress=iter) -> list[Record]:
    """Bytes that fine-tuning sends on two worker processes, counted, and reckoned; by k of `last`.

    `..._trained_only` freezes all layers but the quantized. None where this machine lets nobody
    make a network namespace, which is logged.
    """
    if not network.possible():
        log.warning("Bytes on the network were not counted: `unshare --net` is not to be had here.")
        return []
    whole, left = len(bench.layers), task.leave_float
    chosen = [partial_qat.choose(bench.layers, "last", k) for k in range(whole + 1)]
    made = [(layers, None, left) for layers in chosen]
    made += [(chosen[k], chosen[k], left) for k in (1, max(2, whole // 3))]
    recipe = {
        "model": file_sha256(task.file),
        "configurations": made,
        "code": code_sha256(__name__),
        "versions": versions(*points.TRAINERS),
    }

    def make(folder: Path) -> None:
        sent = network.measure(task.file, made, progress)
        (folder / "traffic.json").write_text(json.dumps(sent, indent=1))

    kept = artefact("qat_traffic", recipe, make) / "traffic.json"
    found, about = [], {"seeded": False, "device": provenance.device("2 workers")}
    for (layers, trained, _), sent in zip(made, json.loads(kept.read_text()), strict=True):
        point = Point("qat", "last", len(layers)) if layers else FLOAT
        numbers = {f"network_{name}": count for name, count in sent.items()}
        numbers["network_step_bytes"] = stats.median(np.array(sent["step_bytes"]))
        rows = recorded(task, point, numbers, **about)
        if trained is not None:
            new = {"variant": f"{point.variant}_trained_only", "method": "qat_trained_only"}
            rows = [replace(row, **new) for row in rows]
        found += rows
    return found


def update_records(task: Task, bench: Bench) -> list[Record]:
    """Bytes of one federated update of the last k layers, by arithmetic."""
    found = []
    for k, bits in product(range(1, len(bench.layers) + 1), UPDATE_BITS):
        chosen = partial_qat.choose(bench.layers, "last", k)
        about = {"method": "update", "bits": bits, "where": "last", "k": k}
        sent = export.update_bytes(bench.model, chosen, bits)
        name = f"update_w{bits}_last{k}"
        found.append(RECORD.counted(task, name, "update_bytes", sent, **about))
    return found
