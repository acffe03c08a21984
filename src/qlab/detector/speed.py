"""Measured costs of each variant: latency, memory, energy, time by operator."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from qlab.core import provenance, stats, timing
from qlab.core.records import Record
from qlab.detector import detect
from qlab.detector.data import Task
from qlab.detector.measure import RECORD, Files, parent_of
from qlab.images import photos as images
from qlab.tflite import graph as tflite_graph
from qlab.tflite import litert

PROCESSES = {"smoke": 1, "mini": 1, "small": 5, "full": 5}  # fresh ones to time in
REPEATS = {  # timed rounds in each, with XNNPACK and without
    True: {"smoke": 6, "mini": 32, "small": 10, "full": 10},
    False: {"smoke": 6, "mini": 8, "small": 3, "full": 3},
}


def device(task: Task) -> str:
    """The machine on which a time or memory was measured."""
    return provenance.device(f"{task.given.threads} threads")


def time_records(task: Task, files: Files, progress=iter) -> list[Record]:
    """Latency of each variant's graph on one image, and the median over rounds of its ratio to the
    float parent's; `_builtin` marks LiteRT's older kernels. Intervals: `stats.of_rounds`."""
    records, parent, about = [], parent_of(files), {"device": device(task)}
    told = {"files": {v: str(f) for v, f in files.items()}, "threads": task.given.threads}
    told["picture"], count = str(next(iter(task.images.values()))), PROCESSES[task.given.profile]
    for xnnpack, name in ((True, "latency"), (False, "latency_builtin")):
        told |= {"xnnpack": xnnpack, "repeats": REPEATS[xnnpack][task.given.profile]}
        runs = timing.in_processes(detect.__name__, told, count, progress)
        for variant in files:
            made, spent = {}, [np.array(run[variant]) for run in runs]
            for q in (50, 90):
                made[f"{name}_ms_p{q}"] = stats.of_rounds([1e3 * s for s in spent], q / 100)
            if variant != parent:
                ratios = [s / run[parent] for s, run in zip(spent, runs, strict=True)]
                made[f"{name}_ratio_p50"] = stats.of_rounds(ratios, 0.5)
            records += [RECORD.estimated(task, variant, m, e, **about) for m, e in made.items()]
    return records


def _counted(task: Task, *what, **more) -> Record:
    return RECORD.counted(task, *what, device=device(task), **more)


def memory_records(task: Task, files: Files) -> list[Record]:
    """Peak resident memory of a fresh process that runs a variant once; some 60 MB are Python's."""
    told, same = ["-m", detect.__name__], {"threads": task.given.threads}
    asked = {v: [*told, json.dumps(same | {"file": str(file)})] for v, file in files.items()}
    peaks = {v: int(timing.fresh(arguments)) for v, arguments in asked.items()}
    return [_counted(task, v, "peak_memory_bytes", peak) for v, peak in peaks.items()]


def energy_records(task: Task, files: Files) -> list[Record]:
    """Joules per image by `timing.energy`; no records where no meter is readable."""
    records, seconds = [], 1 if task.given.profile == "smoke" else 30
    for variant, file in files.items():
        detector = detect.Detector(file, task.given.threads)
        detector(images.read_image(next(iter(task.images.values()))))  # warm-up
        if spent := timing.energy(detector.invoke, seconds):
            records.append(_counted(task, variant, "energy_j", *spent))
    return records


def operator_records(task: Task, files: Files, variants: list, progress=iter) -> list[Record]:
    """Milliseconds by operator type of those `variants` that have files, with both kernel sets."""
    records = []
    for variant in progress([v for v in variants if v in files]):
        for metric, xnnpack in (("operator_ms", True), ("operator_builtin_ms", False)):
            spent = time_operators(files[variant], task.given.threads, xnnpack)
            for kind, ms in spent.groupby("kind")["ms"]:
                records.append(_counted(task, variant, metric, ms.sum(), len(ms), part=kind))
    return records


def time_operators(file: Path, threads: int, xnnpack: bool, repeats: int = 5) -> pd.DataFrame:
    """Median milliseconds per operator, except those of constants: columns `kind`, `ms`. Without a
    profiler, each runs alone in a file, with the same kernel and shapes, but not fused."""
    rows, rng, model = [], np.random.default_rng(0), tflite_graph.read(file)
    for index, operator in enumerate(model.subgraphs[0].operators):
        runner = litert.interpreter(tflite_graph.single_operator(model, index), threads, xnnpack)
        for entry in runner.get_input_details():
            values = 2 * rng.random(entry["shape"])  # a dense kernel takes as long for any values
            runner.set_tensor(entry["index"], values.astype(entry["dtype"]))
        if runner.get_input_details():
            seconds = timing.interleaved({"op": runner.invoke}, repeats)["op"]
            rows.append((tflite_graph.kind(model, operator), 1e3 * np.median(seconds)))
    return pd.DataFrame(rows, columns=["kind", "ms"])
