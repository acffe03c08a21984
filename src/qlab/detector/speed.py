"""What a clock or a meter says of each variant: latency, memory, energy, time by operator."""

from collections.abc import Iterable

from qlab.core import provenance, stats, timing
from qlab.core.images import read_image
from qlab.core.records import Record
from qlab.detector import detect as detectors
from qlab.detector.data import Task
from qlab.detector.measure import PARENT, RECORD, SUBPIXEL, Files, parent_of
from qlab.detector.operators import time_operators

REPEATS = {"smoke": 6, "mini": 32, "full": 40}  # timed rounds with XNNPACK
TAKEN_APART = (PARENT, "int8_dynamic", "int8_dynamic_deconv_fp32", SUBPIXEL, "int8_static")
# Of a stage of a detection, by LiteRT's kernels: what its records' names begin with.
LATENCY = {
    True: {"invoke": "latency", "preprocess": "latency_preprocess", "decode": "latency_decode"},
    False: {"invoke": "latency_builtin"},
}


def _device(task: Task) -> str:
    """What a time or a memory was measured on."""
    return provenance.device(f"{task.given.threads} threads")


def time_records(task: Task, files: Files, progress=iter) -> list[Record]:
    """Latency of each variant and stage, and how it compares with the float parent.

    The clock covers one call of one stage on one image; variants take turns,
    round after round, after two warm-up rounds. `latency_ratio_p50` is the
    median over rounds of variant over parent, so a slow moment of the machine
    hits both. `_builtin` marks the kernels LiteRT had before XNNPACK.
    """
    pictures = list(task.images.values())[:8]
    parent = parent_of(files)
    records: list[Record] = []
    rounds = REPEATS[task.given.profile]
    for xnnpack, repeats in ((True, rounds), (False, max(6, rounds // 4))):
        calls = {}
        for variant, file in files.items():
            detector = detectors.Detector(file, task.given.threads, xnnpack)
            steps = detectors.stages(detector, pictures)
            steps["preprocess"]()
            timed = [stage for stage in ("preprocess", "invoke") if stage in LATENCY[xnnpack]]
            calls |= {(variant, stage): steps[stage] for stage in timed}
            if variant == parent and xnnpack:
                calls["image", "decode"] = steps["decode"]
        seconds = timing.interleaved(calls, repeats, progress=progress)
        for (variant, stage), values in seconds.items():
            name = LATENCY[xnnpack][stage]
            made = {f"{name}_ms_p{q}": stats.median(1e3 * values, q / 100) for q in (50, 90)}
            if stage == "invoke" and variant != parent:
                made[f"{name}_ratio_p50"] = stats.median(values / seconds[parent, "invoke"])
            used = _device(task)
            records += [RECORD.estimated(task, variant, m, e, device=used) for m, e in made.items()]
    return records


def memory_records(task: Task, files: Files) -> list[Record]:
    """Peak resident memory of a fresh process that loads a variant and runs it once.

    Python, numpy and LiteRT themselves are in it, some 55 MB.
    """
    command = ["-m", "qlab.detector.peak_memory"]
    return [
        RECORD.counted(
            task, v, "peak_memory_bytes",
            timing.peak_memory([*command, str(file), str(task.given.threads)]),
            device=_device(task),
        )
        for v, file in files.items()
    ]  # fmt: skip


def energy_records(task: Task, files: Files, repeats: int = 20) -> list[Record]:
    """Joules per image by RAPL (the whole processor package); none where no meter is readable."""
    records = []
    for variant, file in files.items() if "rapl" in timing.readable_meters() else ():
        detector = detectors.Detector(file, task.given.threads)
        detector(read_image(next(iter(task.images.values()))))  # warm-up
        with timing.energy() as used:
            for _ in range(repeats):
                detector.invoke()
        if "rapl" in used.joules:
            value, on = used.joules["rapl"] / repeats, _device(task)
            records.append(RECORD.counted(task, variant, "energy_j", value, repeats, device=on))
    return records


def operator_records(
    task: Task, files: Files, variants: Iterable[str] = TAKEN_APART, progress=iter
) -> list[Record]:
    """Milliseconds by operator type, each operator timed alone, with both sets of kernels."""
    records = []
    for variant in progress([v for v in variants if v in files]):
        for metric, xnnpack in (("operator_ms", True), ("operator_builtin_ms", False)):
            spent = time_operators(files[variant], task.given.threads, xnnpack)
            for kind, rows in spent.groupby("kind"):
                about = {"n": len(rows), "part": kind, "device": _device(task)}
                ms = rows["ms"].sum()
                records.append(RECORD.counted(task, variant, metric, ms, **about))
    return records
