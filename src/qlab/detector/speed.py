"""What a clock or a meter says of each variant: latency, memory, energy, time by operator."""

from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd

from qlab.core import provenance, stats, tflite_graph, timing
from qlab.core.images import read_image
from qlab.core.litert import interpreter
from qlab.core.records import Record
from qlab.detector.data import Task
from qlab.detector.detect import Detector, resized
from qlab.detector.measure import PARENT, RECORD, SUBPIXEL, Files, parent_of

REPEATS = {"smoke": 6, "mini": 32, "full": 40}  # timed rounds with XNNPACK
TAKEN_APART = (PARENT, "int8_dynamic", "int8_dynamic_deconv_fp32", SUBPIXEL, "int8_static")
# Of a stage of a detection, by LiteRT's kernels: what its records' names begin with.
LATENCY = {
    True: {"preprocess": "latency_preprocess", "invoke": "latency", "decode": "latency_decode"},
    False: {"invoke": "latency_builtin"},
}


def stages(detector: Detector, files: Sequence[Path]) -> dict[str, Callable[[], object]]:
    """What a detection consists of, each stage callable alone and stepping through `files`.

    `decode` reads and unpacks the image file, `preprocess` resizes it and
    copies it into the input tensor, `invoke` runs the graph.
    """
    read, decoded = cycle(files), cycle([read_image(f) for f in files])
    return {
        "decode": lambda: read_image(next(read)),
        "preprocess": lambda: detector.set_image(resized(next(decoded), detector.size)),
        "invoke": detector.invoke,
    }


def _device(task: Task) -> str:
    """What a time or a memory was measured on."""
    return provenance.device(f"{task.given.threads} threads")


def time_records(task: Task, files: Files, progress=iter) -> list[Record]:
    """Latency of each variant and stage, and how it compares with the float parent.

    The clock covers one call of one stage on one image; variants take turns, round after round,
    after two warm-up rounds. `latency_ratio_p50` is the median over rounds of variant over parent:
    a slow moment hits both. `_builtin` marks the kernels LiteRT had before XNNPACK.
    """
    pictures, parent = list(task.images.values())[:8], parent_of(files)
    rounds, used = REPEATS[task.given.profile], _device(task)
    records: list[Record] = []
    for xnnpack, repeats in ((True, rounds), (False, max(6, rounds // 4))):
        calls = {}
        for variant, file in files.items():
            steps = stages(Detector(file, task.given.threads, xnnpack), pictures)
            steps["preprocess"]()
            calls |= {(variant, s): steps[s] for s in LATENCY[xnnpack] if s != "decode"}
            if variant == parent and xnnpack:
                calls["image", "decode"] = steps["decode"]
        seconds = timing.interleaved(calls, repeats, progress=progress)
        for (variant, stage), values in seconds.items():
            name = LATENCY[xnnpack][stage]
            made = {f"{name}_ms_p{q}": stats.median(1e3 * values, q / 100) for q in (50, 90)}
            if stage == "invoke" and variant != parent:
                made[f"{name}_ratio_p50"] = stats.median(values / seconds[parent, "invoke"])
            records += [RECORD.estimated(task, variant, m, e, device=used) for m, e in made.items()]
    return records


def memory_records(task: Task, files: Files) -> list[Record]:
    """Peak resident memory of a fresh process that loads a variant and runs it once.

    Python, numpy and LiteRT themselves are in it, some 55 MB.
    """
    records = []
    for variant, file in files.items():
        command = ["-m", "qlab.detector.peak_memory", str(file), str(task.given.threads)]
        made = (task, variant, "peak_memory_bytes", timing.peak_memory(command))
        records.append(RECORD.counted(*made, device=_device(task)))
    return records


def energy_records(task: Task, files: Files, repeats: int = 20) -> list[Record]:
    """Joules per image by RAPL (the whole processor package); none where no meter is readable."""
    records = []
    for variant, file in files.items() if "rapl" in timing.readable_meters() else ():
        detector = Detector(file, task.given.threads)
        detector(read_image(next(iter(task.images.values()))))  # warm-up
        with timing.energy() as used:
            for _ in range(repeats):
                detector.invoke()
        if "rapl" in used.joules:
            made = (task, variant, "energy_j", used.joules["rapl"] / repeats, repeats)
            records.append(RECORD.counted(*made, device=_device(task)))
    return records


def operator_records(
    task: Task, files: Files, variants: Iterable[str] = TAKEN_APART, progress=iter
) -> list[Record]:
    """Milliseconds by operator type, each operator timed alone, with both sets of kernels."""
    records = []
    for variant in progress([v for v in variants if v in files]):
        for metric, xnnpack in (("operator_ms", True), ("operator_builtin_ms", False)):
            spent = time_operators(files[variant], task.given.threads, xnnpack)
            for kind, ms in spent.groupby("kind")["ms"]:
                made = (task, variant, metric, ms.sum(), len(ms))
                records.append(RECORD.counted(*made, part=kind, device=_device(task)))
    return records


def time_operators(
    file: Path, threads: int, xnnpack: bool = True, repeats: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Median milliseconds of each operator run alone, in a file of its own: columns `kind`, `ms`.

    LiteRT's Python interpreter has no profiler. An operator's time in isolation is a fair
    stand-in: same kernel, delegate and shapes; what is lost is the fusion of neighbours, so the
    sum is reported beside the time of the whole. Operators of constants alone are left out.
    """
    rng = np.random.default_rng(seed)
    rows = []
    model = tflite_graph.read(file)
    for index, operator in enumerate(tflite_graph.operators(file)):
        runner = interpreter(tflite_graph.single_operator(model, index), threads, xnnpack)
        for entry in runner.get_input_details():
            noise = rng.random(entry["shape"])  # a dense kernel takes the same time for any values
            if not np.issubdtype(entry["dtype"], np.floating):
                noise = noise < 0.5
            runner.set_tensor(entry["index"], noise.astype(entry["dtype"]))
        if runner.get_input_details():
            seconds = timing.interleaved({"op": runner.invoke}, repeats)["op"]
            rows.append((operator.kind, 1e3 * float(np.median(seconds))))
    return pd.DataFrame(rows, columns=["kind", "ms"])
