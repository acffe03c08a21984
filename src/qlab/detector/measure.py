"""Experiment `centernet_ptq` (notebook 01): what TFLite quantization costs a detector.

Each function measures one thing and returns records; nothing is drawn here.
"""

import gzip
import logging
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from pycocotools.coco import COCO

from qlab.core import corruptions, disk, measured, processes, stats, tflite_graph, timing
from qlab.core.errors import QlabError, refuse_below_one
from qlab.core.images import read_image
from qlab.core.records import Record
from qlab.core.stats import Estimate
from qlab.detector import average_precision, coco, quantize, scoring
from qlab.detector import detect as detectors
from qlab.detector.data import Task
from qlab.detector.operators import time_operators
from qlab.detector.scoring import Scored

EXPERIMENT = "centernet_ptq"
PARENT = "fp32"
SUBPIXEL = "int8_dynamic_subpixel"  # the cure: int8_dynamic of the network without deconvolutions
SLOW = "int16x8"  # LiteRT has only reference kernels for it: evaluated on fewer images
SLOW_LIMIT = {"smoke": 8, "mini": 50, "full": 100}
FOUND_SCORE = 0.3  # a detection counts as an answer from this score on (zoo demos draw from 0.3)
ROBUST = ("fp32", "fp16", "int8_dynamic", "int8_static", "int8_selective")
TAKEN_APART = (PARENT, "int8_dynamic", "int8_dynamic_deconv_fp32", SUBPIXEL, "int8_static")
ROBUST_LIMIT = {"smoke": 8, "mini": 100, "full": 500}
ROBUST_STRENGTHS = {"smoke": (2,), "mini": corruptions.STRENGTHS, "full": corruptions.STRENGTHS}
DRAWS = {"smoke": 100, "mini": 500, "full": 500}  # bootstrap resamples
REPEATS = {"smoke": 6, "mini": 32, "full": 40}  # timed rounds with XNNPACK
PROCESSES = {"smoke": 1, "mini": 2, "full": 2}  # at most, that share what is not timed
PACKAGES = ["tensorflow", "tf-keras", "ai-edge-litert", "ai-edge-quantizer", "pycocotools"]
PACKAGES += ["numpy", "pillow"]
WEIGHTS = {"fp32": 1, "fp16": 0.5, "int8_dynamic": 0.25}  # bytes of a file as a share of float's
Files = dict[str, Path]
log = logging.getLogger(__name__)
Detections = dict[str, list[dict]]


_record = partial(measured.estimated, EXPERIMENT)
_exact = partial(measured.counted, EXPERIMENT)


def _device(threads: int) -> str:
    """What a time or a memory was measured on; the processor's name is in the provenance."""
    return f"cpu_{threads}_threads"


def build_variants(task: Task, threads: int, progress=iter) -> Files:
    """The .tflite of each variant; a ready .tflite file is its own only variant, `as_is`.

    QlabError: fewer threads than 1.
    """
    refuse_below_one(threads=threads)
    if task.ready:
        return {"as_is": task.folder}
    weights = disk.used(task.folder / "variables")
    shares = [WEIGHTS.get(variant, WEIGHTS["int8_dynamic"]) for variant in quantize.VARIANTS]
    disk.refuse(
        int(weights * (sum(shares) + (task.subpixel is not None) * WEIGHTS["int8_dynamic"])),
        f"Converting {task.model} to {len(shares)} variants",
        "Take a smaller model",
    )
    samples = quantize.calibration_samples(task.calibration)
    files = {
        v: quantize.build_variant(task.folder, v, task.size, samples, threads)
        for v in progress(quantize.VARIANTS)
    }
    if task.subpixel is not None:
        files[SUBPIXEL] = quantize.convert(task.subpixel, "int8_dynamic", task.size)
    return {v: f for v, f in files.items() if v == PARENT or _runs(v, f, threads)}


def _runs(variant: str, file: Path, threads: int) -> bool:
    """Whether LiteRT runs a quantized file; one that it cannot run is left out, and that is said.

    Its int16 kernels refuse some scales, for instance.
    """
    try:
        detectors.Detector(file, threads).invoke()
    except (QlabError, RuntimeError) as error:
        log.warning("%s is left out: LiteRT does not run it (%s).", variant, error)
        return False
    return True


def parent_of(files: Mapping[str, Path]) -> str:
    """The float variant that the others are compared with."""
    return PARENT if PARENT in files else next(iter(files))


def size_records(task: Task, files: Files) -> list[Record]:
    """Bytes of each file, bytes of the file gzip-compressed, and bytes of its constants by type."""
    records = []
    for variant, file in files.items():
        content = file.read_bytes()
        packed = len(gzip.compress(content, 6, mtime=0))
        records += [
            _exact(task, variant, "size_bytes", "byte", len(content)),
            _exact(task, variant, "size_gzip_bytes", "byte", packed),
        ]
        for kind, count in tflite_graph.weight_bytes(file).items():
            records.append(_exact(task, variant, f"size_{kind.lower()}_bytes", "byte", count))
    return records


def detect(task: Task, files: Files, threads: int, profile: str, progress=iter) -> Detections:
    """Detections of each variant on the evaluation images, kept under build/.

    `SLOW` sees only the first SLOW_LIMIT images. The float parent must answer
    with categories that the annotations know.
    """
    parent = parent_of(files)
    count, own_threads = _shared(threads, profile, len(files))
    # The parent comes first, for it shows whether the model fits the annotations; then the slowest,
    # lest all others end and wait for it.
    order = sorted(files, key=lambda v: (v != parent, v != SLOW))
    arguments = [
        (files[v], {i: task.images[i] for i in judged_ids(task, v, profile)}, own_threads,
         task.coco if v == parent else None)
        for v in order
    ]  # fmt: skip
    answers = processes.starmap(_detections, arguments, count, progress)
    found = dict(zip(order, answers, strict=True))
    return {v: found[v] for v in files}


def _detections(
    file: Path, images: dict[int, Path], threads: int, known: COCO | None
) -> list[dict]:
    """A file's detections; QlabError where its categories are not those of `known`."""
    found = detectors.detect_all(file, images, threads)
    if known is not None:
        coco.check_labels(found, known, file.name)
    return found


def _shared(threads: int, profile: str, items: int) -> tuple[int, int]:
    """Processes that share so many items, and LiteRT's threads in each: `threads` in all.

    More threads than cores would wait for each other in a loop.
    """
    count = min(threads, PROCESSES[profile], items)
    return count, threads // count


def judged_ids(task: Task, variant: str, profile: str) -> list[int]:
    """The images that a variant answered on."""
    ids = sorted(task.images)
    return ids[: SLOW_LIMIT[profile]] if variant == SLOW else ids


def accuracy_records(task: Task, found: Detections, profile: str, seed: int) -> list[Record]:
    """COCO figures of each variant, and paired comparisons with the float parent.

    Intervals are bias-corrected bootstrap over images; differences resample
    the same images for both. `found_share` is the share of objects found at
    IoU 0.5 with score FOUND_SCORE; flips, McNemar and the smallest detectable
    difference compare it object by object, taking objects as independent.
    """
    parent = parent_of(found)
    records: list[Record] = []
    counts = {v: len(judged_ids(task, v, profile)) for v in found}
    # The parent is scored on the images of every variant: compare on those that both saw.
    pairs = list(dict.fromkeys(pair for v, n in counts.items() for pair in ((v, n), (parent, n))))
    ids = sorted(task.images)
    arguments = [(task.coco, found[v], ids[:n], DRAWS[profile], seed) for v, n in pairs]
    scores = processes.starmap(scoring.scored, arguments, PROCESSES[profile])
    scored = dict(zip(pairs, scores, strict=True))
    for variant, n in counts.items():
        estimates = scored[variant, n][0]
        records += [_record(task, variant, m, "1", e, seed=seed) for m, e in estimates.items()]
        if variant != parent:
            for metric in ("ap", "ap50"):
                e = average_precision.difference(scored[variant, n], scored[parent, n], metric)
                records.append(_record(task, variant, f"{metric}_difference", "1", e, seed=seed))
        records += _flip_records(task, found, variant, parent, ids[:n])
    return records


def _flip_records(
    task: Task, found: Detections, variant: str, parent: str, ids: list[int]
) -> list[Record]:
    before, after = (
        coco.found_objects(task.coco, found[v], ids, FOUND_SCORE) for v in (parent, variant)
    )
    if not len(before):
        return []
    n = len(before)
    share = _record(task, variant, "found_share", "1", stats.proportion(int(after.sum()), n))
    if variant == parent:
        return [share]
    flips = stats.paired(before, after)
    found_share = (EXPERIMENT, task, variant, "found_share", "object")
    return [share, *measured.compared(*found_share, flips)]


def time_records(
    task: Task, files: Files, threads: int, profile: str, progress=iter
) -> list[Record]:
    """Latency of each variant and stage, and how it compares with the float parent.

    The clock covers one call of one stage on one image; variants take turns,
    round after round, after two warm-up rounds. `latency_ratio_p50` is the
    median over rounds of variant over parent, so a slow moment of the machine
    hits both. `_builtin` marks the kernels LiteRT had before XNNPACK.
    """
    pictures = list(task.images.values())[:8]
    parent = parent_of(files)
    records: list[Record] = []
    for xnnpack in (True, False):
        ready = {v: detectors.Detector(f, threads, xnnpack) for v, f in files.items()}
        calls = {}
        for variant, detector in ready.items():
            steps = detectors.stages(detector, pictures)
            steps["preprocess"]()
            names = ("preprocess", "invoke") if xnnpack else ("invoke",)
            calls |= {f"{variant}/{name}": steps[name] for name in names}
            if variant == parent and xnnpack:
                calls["image/decode"] = steps["decode"]
        repeats = REPEATS[profile] if xnnpack else max(6, REPEATS[profile] // 4)
        seconds = timing.interleaved(calls, repeats, progress=progress)
        for name, values in seconds.items():
            variant, stage = name.split("/")
            suffix = {"invoke": "", "decode": "_decode", "preprocess": "_preprocess"}[stage]
            suffix += "" if xnnpack else "_builtin"
            for q in (50, 90):
                e = stats.median(1e3 * values, q / 100)
                name = f"latency{suffix}_ms_p{q}"
                records.append(_record(task, variant, name, "ms", e, device=_device(threads)))
            if stage == "invoke" and variant != parent:
                ratio = stats.median(values / seconds[f"{parent}/invoke"])
                name = f"latency{suffix}_ratio_p50"
                records.append(_record(task, variant, name, "1", ratio, device=_device(threads)))
    return records


def memory_records(task: Task, files: Files, threads: int) -> list[Record]:
    """Peak resident memory of a fresh process that loads a variant and runs it once.

    Python, numpy and LiteRT themselves are in it, some 55 MB.
    """
    return [
        _exact(
            task, v, "peak_memory_bytes", "byte",
            timing.peak_memory(["-m", "qlab.detector.peak_memory", str(f), str(threads)]),
            device=_device(threads),
        )
        for v, f in files.items()
    ]  # fmt: skip


def energy_records(task: Task, files: Files, threads: int, repeats: int = 20) -> list[Record]:
    """Joules per image by RAPL (the whole processor package); none where no meter is readable."""
    records = []
    for variant, file in files.items() if "rapl" in timing.readable_meters() else ():
        detector = detectors.Detector(file, threads)
        detector(read_image(next(iter(task.images.values()))))  # warm-up
        with timing.energy() as used:
            for _ in range(repeats):
                detector.invoke()
        if "rapl" in used.joules:
            value = used.joules["rapl"] / repeats
            used_on = _device(threads)
            records.append(_exact(task, variant, "energy_j", "J", value, repeats, device=used_on))
    return records


def operator_records(
    task: Task, files: Files, variants: Iterable[str], threads: int, progress=iter
) -> list[Record]:
    """Milliseconds by operator type, each operator timed alone, with both sets of kernels."""
    records = []
    for variant in progress([v for v in variants if v in files]):
        for kernels, xnnpack in (("xnnpack", True), ("builtin", False)):
            spent = time_operators(files[variant], threads, xnnpack)
            for kind, rows in spent.groupby("kind"):
                metric = f"operator_ms_{kernels}_{kind}"
                spent_ms, used_on = rows["ms"].sum(), _device(threads)
                records.append(
                    _exact(task, variant, metric, "ms", spent_ms, len(rows), device=used_on)
                )
    return records


def snr_records(task: Task, files: Files, threads: int) -> list[Record]:
    """Signal-to-quantization-noise of every operator's output in the whole-graph int8 file.

    No records where there is no such file beside its float parent.
    """
    if not {PARENT, "int8_static"} <= set(files):
        return []
    samples = quantize.calibration_samples(task.calibration)[:8]
    snr = quantize.tensor_snr(files[PARENT], files["int8_static"], samples, threads)
    after = set(tflite_graph.decoding(files[PARENT]))
    records = []
    for place, operator in enumerate(tflite_graph.operators(files[PARENT])):
        name = operator.outputs[0]
        if name in snr:
            part = "decoding" if name in after else "network"
            metric = f"snr_db_{part}_{place:03d}_{operator.kind}"
            records.append(_exact(task, "int8_static", metric, "dB", snr[name], len(samples)))
    return records


def robustness_records(
    task: Task, files: Files, threads: int, profile: str, seed: int, progress=iter
) -> list[Record]:
    """AP of each variant, and its difference to the float parent, on corrupted images.

    The data set's name tells corruption and strength, as in mini_coco_noise2.
    `ap_difference_extra` is the difference there minus the one on clean images:
    what quantization adds to the damage, or takes from it.
    """
    ids = sorted(task.images)[: ROBUST_LIMIT[profile]]
    parent = parent_of(files)
    judged = {v: f for v, f in files.items() if v in ROBUST or v == parent}
    conditions = [("clean", 0)] + [
        (kind, s) for kind in corruptions.KINDS for s in ROBUST_STRENGTHS[profile]
    ]
    images = {i: task.images[i] for i in ids}
    count, own_threads = _shared(threads, profile, len(conditions))
    same = (judged, images, task.coco, own_threads, DRAWS[profile], seed)
    arguments = [(*condition, *same) for condition in conditions]
    scored = processes.starmap(scoring.scored_under, arguments, count, progress)
    records: list[Record] = []
    clean = scored[0]
    for (kind, strength), under in zip(conditions, scored, strict=True):
        dataset = f"{task.dataset}_{kind}{strength or ''}"
        for variant, one in under.items():
            made = {"ap": one[0]["ap"]}
            if variant != parent:
                made["ap_difference"] = average_precision.difference(one, under[parent], "ap")
                if strength:
                    made["ap_difference_extra"] = _extra(
                        (one, under[parent]), (clean[variant], clean[parent])
                    )
            records += [
                _record(task, variant, m, "1", e, seed=seed, dataset=dataset)
                for m, e in made.items()
            ]
    return records


def _extra(worse: tuple[Scored, Scored], clean: tuple[Scored, Scored]) -> Estimate:
    """A variant's AP minus its parent's on worse images, minus the same on clean ones."""
    after, before = (
        average_precision.difference(variant, parent, "ap").value
        for variant, parent in (worse, clean)
    )
    shift, usual = (variant[1]["ap"] - parent[1]["ap"] for variant, parent in (worse, clean))
    value = after - before
    interval = stats.bootstrap_interval(shift - usual, value)
    return Estimate(value, *interval, worse[0][0]["ap"].n)
