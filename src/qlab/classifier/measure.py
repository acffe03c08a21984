"""Experiment `resnet_qat` (notebook 03): what quantizing only some layers costs and gains.

Each function measures one thing and returns records; nothing is drawn here.
"""

import gzip
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd

from qlab.classifier import answers as classification
from qlab.classifier import export, named, network, partial_qat, points
from qlab.classifier.data import Task
from qlab.classifier.points import FLOAT, Answer, Bench, Point
from qlab.classifier.sweep import GRAPHS, RECORD, Answers, Worse, recorded
from qlab.core import provenance, stats
from qlab.core.records import Record
from qlab.core.stats import Estimate, difference_over_seeds
from qlab.files import fetch
from qlab.images import corruptions

log = logging.getLogger(__name__)

PACKAGES = [*points.PACKAGES, "numpy"]


def accuracy_records(task: Task, parent: Answer, answers: Answers) -> list[Record]:
    """Accuracy of each graph, calibration error, and comparisons on the same test images.

    A point's file is compared with the float parent's, and with the file of the float control that
    was fine-tuned from the same seed (`accuracy_minus_tuned`). A point that failed has only a
    record of that.
    """
    found, whole = [], {FLOAT: parent, **answers}
    hits = {p: hits_of(a, task.test.labels) for p, a in whole.items()}
    for point, answer in whole.items():
        if answer.failed:
            found += recorded(task, point, {"failed": 1})
            continue
        here = hits[point]["tflite"]
        numbers = {GRAPHS[graph]: _share(h) for graph, h in hits[point].items()}
        confidence = answer.probabilities["tflite"].max(1)
        numbers["calibration_error"] = classification.calibration_error(confidence, here)
        if point.method in ("tuned", "qat", "qatcold"):
            numbers["train_steps"] = task.training.steps(len(task.train))
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


def seed_records(task: Task, parent: Answer, answers: Answers) -> list[Record]:
    """QAT's accuracy over its seeds minus float's, the float control's, and PTQ's with the same
    layers and bits; and the first k layers minus the last k, for each k and (PTQ's too) over all k.
    See `stats.difference_over_seeds`. No record where a seed failed: the others may be better.
    """
    labels, found = task.test.labels, []
    hits = {p: hits_of(a, labels)["tflite"] for p, a in answers.items() if not a.failed}
    before = hits_of(parent, labels)["tflite"]
    for one, seeds in seeds_of(answers).items():
        if (each := outcomes_of(hits, one, seeds)) is None:
            continue
        others = {"difference": before[None]}
        if one.method == "qat":
            others["minus_tuned"] = outcomes_of(hits, Point("tuned"), seeds)
            others["minus_ptq"] = outcomes_of(hits, replace(one, method="ptq"), [0])
        if one.where == "first":
            others["minus_last"] = outcomes_of(hits, replace(one, where="last"), seeds)
        numbers = {f"accuracy_{name}_over_seeds": difference_over_seeds(each, other)
                   for name, other in others.items() if other is not None}  # fmt: skip
        found += recorded(task, one, numbers, seeded=False)
    return found + _end_records(task, hits)


def _end_records(task: Task, hits: Mapping[Point, np.ndarray]) -> list[Record]:
    """First k layers minus last k, averaged over every k that both ends have with all seeds."""
    found = []
    for method, bits in product(("ptq", "qat"), partial_qat.BITS):
        firsts = [p for p in hits if (p.method, p.bits, p.where) == (method, bits, "first")]
        seeds = sorted({p.seed for p in firsts})
        pairs = [(p, replace(p, where="last")) for p in firsts if p.seed == 0]
        both = [[outcomes_of(hits, p, seeds) for p in pair] for pair in pairs]
        both = [pair for pair in both if not any(one is None for one in pair)]
        if both:
            e = difference_over_seeds(*np.mean(np.array(both, float), axis=0))
            about = (task, f"{method}_w{bits}a8_first_minus_last", "accuracy_minus_last_over_seeds")
            found.append(RECORD.estimated(*about, e, method=method, bits=bits, where="first"))
    return found


def seeds_of(points: Iterable[Point]) -> dict[Point, list[int]]:
    """The seeds of each point that was trained; its key is the point with seed 0."""
    found: dict[Point, list[int]] = {}
    for point in points:
        if point.method in ("tuned", "qat"):
            found.setdefault(replace(point, seed=0), []).append(point.seed)
    return {point: sorted(seeds) for point, seeds in found.items()}


def outcomes_of(hits: Mapping, point: Point, seeds: Sequence[int]) -> np.ndarray | None:
    """Outcomes [seeds, images] of a point; None if a seed is missing."""
    each = [hits.get(replace(point, seed=seed)) for seed in seeds]
    return None if any(one is None for one in each) else np.stack(each)


def hits_of(answer: Answer, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Whether each graph's predictions are right: bool [images], by graph."""
    return {g: classification.correct(p, labels) for g, p in answer.probabilities.items()}


def size_records(task: Task, bench: Bench, answers: Answers) -> list[Record]:
    """Bytes of each file, raw and gzip-compressed, and what its weights need by arithmetic.

    One seed's file stands for a variant: the sizes of the others differ by a few bytes at most.
    """
    made = {p: a.file for p, a in answers.items() if not a.failed}
    files = {p: file for p, file in made.items() if p.seed == 0 and p.method != "tuned"}
    found, each = [], partial_qat.parameters(bench.model, bench.layers)
    for point, file in {FLOAT: bench.float_file, **files}.items():
        content, chosen = file.read_bytes(), bench.chosen(point)  # the parent has k = 0
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


def peer_records(task: Task, parent: Answer, threads: int) -> list[Record]:
    """Bytes and accuracy of the int8 file that the model's makers published, if they did."""
    if task.model != named.TINY:
        return []
    file, images = fetch.get(named.PEER), task.test.images
    found = classification.tflite_probabilities(file, images, threads, batch=1)  # it takes one
    theirs = classification.correct(found, task.test.labels)
    name, about = "published_int8", {"method": "published", "bits": 8}
    flips = stats.paired(hits_of(parent, task.test.labels)["tflite"], theirs)
    return [
        RECORD.counted(task, name, "size_bytes", file.stat().st_size, **about),
        RECORD.estimated(task, name, "accuracy", _share(theirs), **about),
        *RECORD.compared(task, name, "accuracy", flips, **about),
    ]


def worse_answers(task: Task, bench: Bench, answers: Answers, threads: int, progress=iter) -> Worse:
    """Answers on corrupted test images by the files of the float parent, the float control and the
    points with all layers quantized."""
    plain = {p: a.file for p, a in answers.items() if not (a.failed or p.rounding)}
    whole = {p: f for p, f in plain.items() if p.method == "tuned" or p.k == len(bench.layers)}
    found, files = {}, {FLOAT: bench.float_file, **whole}
    for kind, strength in progress(list(product(corruptions.KINDS, corruptions.STRENGTHS))):
        images = [corruptions.corrupt(x, kind, strength, i) for i, x in enumerate(task.test.images)]
        ask = (np.stack(images), threads)
        found[kind, strength] = {
            point: classification.tflite_probabilities(file, *ask) for point, file in files.items()
        }
    return found


def robustness_records(task: Task, worse: Worse) -> list[Record]:
    """Accuracy on corrupted test images, alone and minus the float parent's on the same images."""
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
            e = difference_over_seeds(outcomes_of(hits, point, seeds), hits[FLOAT][None])
            over = {"accuracy_difference_over_seeds": e}
            found += recorded(task, point, over, seeded=False, **about)
    return found


def formula_records(task: Task, held: pd.DataFrame, formulas: Mapping) -> list[Record]:
    """How far formulas miss a k that they were not fitted to (one per row of `held`), in points of
    accuracy; and whether they fit at all: the p value of their lack of fit."""

    def told(metric: str, where: str, bits: int, ends: Iterable[float], n: int, **more) -> Record:
        name, about = f"formula_w{bits}a8_{where}", {"where": where, "bits": bits, **more}
        return RECORD.estimated(task, name, metric, Estimate(*ends, n), method="formula", **about)

    found = []
    for one in held.itertuples():
        off = [one.measured - end for end in (one.predicted, one.high, one.low)]
        found.append(told("formula_left_out_error", one.where, one.bits, off, one.seeds, k=one.k))
    for place, (fit, _) in formulas.items():
        if np.isfinite(fit.lack):  # NaN for one seed
            found.append(told("formula_fits", *place, (fit.lack, np.nan, np.nan), fit.n))
    return found


def network_records(task: Task, bench: Bench, progress=iter) -> list[Record]:
    """Bytes that fine-tuning on two worker processes sends, counted and calculated, for the last k
    layers. No records where this machine permits no network namespace, which is logged."""
    if not network.possible():
        log.warning("Bytes on the network were not counted: `unshare --net` is not to be had here.")
        return []
    points = [FLOAT, *(Point("qat", "last", k + 1) for k in range(len(bench.layers)))]
    found, about = [], {"seeded": False, "device": provenance.device("2 workers")}
    chosen = [bench.chosen(point) for point in points]
    counted = network.measure(task.file, chosen, task.leave_float, progress)
    for point, sent in zip(points, counted, strict=True):
        numbers = {f"network_{name}": count for name, count in sent.items()}
        numbers["network_step_bytes"] = stats.median(np.array(sent["step_bytes"]))
        found += recorded(task, point, numbers, **about)
    return found


def update_records(task: Task, bench: Bench) -> list[Record]:
    """Bytes of one federated update of the last k layers, by arithmetic."""
    found = []
    for k, bits in product(range(1, len(bench.layers) + 1), (4, 8, 32)):  # bits of a weight
        sent = export.update_bytes(bench.model, bench.layers[-k:], bits)
        about = {"method": "update", "bits": bits, "where": "last", "k": k}
        found.append(RECORD.counted(task, f"update_w{bits}_last{k}", "update_bytes", sent, **about))
    return found
