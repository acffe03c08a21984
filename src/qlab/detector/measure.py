"""Experiment `centernet_ptq` (notebook 01): what TFLite quantization costs a detector.

Here: sizes, answers, accuracy and noise of the variants that the notebook makes. `speed` has what a
clock or a meter says, `robustness` what worse images do. Functions return records; nothing is
drawn here.
"""

import gzip
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pycocotools.coco import COCO

from qlab.core import processes, stats, tflite_graph
from qlab.core.errors import QlabError
from qlab.core.records import COMPARED, Metric, Record, Recorder
from qlab.detector import average_precision, coco
from qlab.detector import detect as detectors
from qlab.detector.data import Task
from qlab.detector.judged import Judged, judged

EXPERIMENT = "centernet_ptq"
PARENT = "fp32"
SLOW = "int16x8"  # LiteRT has only reference kernels for it: evaluated on fewer images
SLOW_LIMIT = {"smoke": 8, "mini": 50, "small": 128, "full": 100}
FEW = ("int4", "int4_mse", "int4_octav", "int4_mixed", "int4_gptq", "int4_blocks", "int4_hadamard")
FEW_LIMIT = {"smoke": 8, "mini": 100, "small": 0, "full": 500}  # images that judge these; 0: all
FOUND_SCORE = 0.3  # a detection counts as an answer from this score on (zoo demos draw from 0.3)
DRAWS = {"smoke": 100, "mini": 500, "small": 500, "full": 500}  # bootstrap resamples
PROCESSES = {"smoke": 1, "mini": 2, "small": 2, "full": 2}  # at most, that share what is not timed
PACKAGES = ["tensorflow", "tf-keras", "ai-edge-litert", "ai-edge-quantizer", "pycocotools"]
PACKAGES += ["numpy", "pillow"]
BITS = {"fp32": 32, "fp16": 16}  # of the weights, where it is known
BITS |= dict.fromkeys(("int8_dynamic", "int8_dynamic_deconv_fp32", "int8_dynamic_subpixel"), 8)
BITS |= dict.fromkeys(("int8_dynamic_depthwise_fp32", "int8_static", "int8_selective", SLOW), 8)
BITS |= dict.fromkeys(FEW, 4)
TYPES = ("float16", "float32", "float64", "bfloat16", "int2", "int4", "int8", "int16", "int32")
TYPES += ("int64", "uint4", "uint8", "uint16", "uint32", "uint64", "bool", "string")  # of constants
LATENCIES = ("latency", "latency_decode", "latency_preprocess", "latency_builtin")
METRICS = {
    **dict.fromkeys(average_precision.FIGURES, Metric("1", 1)),
    **{f"{figure}_difference": Metric("1", 1) for figure in average_precision.FIGURES},
    "ap_difference_extra": Metric("1", 1),
    **dict.fromkeys(("found_share", "found_share_difference"), Metric("1", 1)),
    **COMPARED,
    "flips_lost": Metric("object", -1),
    "flips_gained": Metric("object"),
    **dict.fromkeys(("size_bytes", "size_gzip_bytes"), Metric("byte", -1)),
    **{f"size_{kind}_bytes": Metric("byte", -1) for kind in TYPES},
    **dict.fromkeys(("snr_db", "snr_own_db", "snr_end_db", "snr_end_mended_db"), Metric("dB", 1)),
    **{f"{name}_ms_p{q}": Metric("ms", -1, clock=True) for name in LATENCIES for q in (50, 90)},
    "latency_ratio_p50": Metric("1", -1, clock=True),
    "latency_builtin_ratio_p50": Metric("1", -1, clock=True),
    "operator_ms": Metric("ms", -1, clock=True),
    "operator_builtin_ms": Metric("ms", -1, clock=True),
    "peak_memory_bytes": Metric("byte", -1, clock=True),
    "energy_j": Metric("J", -1, clock=True),
}
Files = dict[str, Path]
Detections = dict[str, list[dict]]
Scores = dict[tuple[str, int], Judged]  # by variant and number of images
log = logging.getLogger(__name__)


class _Recorder(Recorder):
    """Every record of a variant says the bits of its weights."""

    def counted(self, task, variant, metric, value, n=1, **more) -> Record:
        about = {"bits": BITS.get(variant), **more}
        return super().counted(task, variant, metric, value, n, **about)


RECORD = _Recorder(EXPERIMENT, METRICS)


def running(files: Files, threads: int) -> Files:
    """The files that LiteRT runs; a quantized one that it refuses is left out, and that is said.

    Its int16 kernels refuse some scales, for instance.
    """
    return {v: f for v, f in files.items() if v == PARENT or _runs(v, f, threads)}


def _runs(variant: str, file: Path, threads: int) -> bool:
    try:
        detectors.Detector(file, threads).invoke()
    except (QlabError, RuntimeError) as error:
        log.warning("%s is left out: LiteRT does not run it (%s).", variant, error)
        return False
    return True


def parent_of(variants: Mapping[str, object]) -> str:
    """The float variant that the others are compared with."""
    return PARENT if PARENT in variants else next(iter(variants))


def size_records(task: Task, files: Files) -> list[Record]:
    """Bytes of each file, bytes of the file gzip-compressed, and bytes of its constants by type."""
    records = []
    for variant, file in files.items():
        content = file.read_bytes()
        sizes = {"size_bytes": len(content)}
        sizes["size_gzip_bytes"] = len(gzip.compress(content, 6, mtime=0))
        for kind, count in tflite_graph.weight_bytes(file).items():
            sizes[f"size_{kind.lower()}_bytes"] = count
        records += [RECORD.counted(task, variant, m, count) for m, count in sizes.items()]
    return records


def detect(task: Task, files: Files, progress=iter) -> Detections:
    """Detections of each variant on the evaluation images, kept under build/.

    Of the first images only: `SLOW` by SLOW_LIMIT, `FEW` by FEW_LIMIT. The float parent must
    answer with categories that the annotations know.
    """
    if not files:
        return {}
    parent = parent_of(files)
    count, threads = shared(task, len(files))
    # The parent comes first, for it shows whether the model fits the annotations; then the slowest,
    # lest all others end and wait for it.
    order = sorted(files, key=lambda v: (v != parent, v != SLOW))
    arguments = [
        (files[v], {i: task.images[i] for i in judged_ids(task, v)}, threads,
         task.coco if v in (PARENT, "as_is") else None)
        for v in order
    ]  # fmt: skip
    answers = processes.starmap(_detections, arguments, count, progress)
    found = dict(zip(order, answers, strict=True))
    return {v: found[v] for v in files}


def _detections(
    file: Path, images: dict[int, Path], threads: int, known: COCO | None
) -> list[dict]:
    """A file's detections; QlabError where its categories are not those of `known`."""
    [found] = detectors.detect_each([file], images, threads)
    if known is not None:
        coco.check_labels(found, known, file.name)
    return found


def shared(task: Task, items: int) -> tuple[int, int]:
    """Processes that share so many items, and LiteRT's threads in each: `threads` in all.

    More threads than cores would wait for each other in a loop.
    """
    count = min(task.given.threads, PROCESSES[task.given.profile], items)
    return count, task.given.threads // count


def judged_ids(task: Task, variant: str) -> list[int]:
    """The images that a variant answered on."""
    limits = {SLOW: SLOW_LIMIT, **dict.fromkeys(FEW, FEW_LIMIT)}.get(variant, {})
    return sorted(task.images)[: limits.get(task.given.profile) or None]


def score(task: Task, found: Detections) -> Scores:
    """Each variant's detections scored, and the parent's on the images of every variant.

    So that two are compared on the images that both saw.
    """
    counts = {v: len(judged_ids(task, v)) for v in found}
    parent = parent_of(found)
    pairs = list(dict.fromkeys(pair for v, n in counts.items() for pair in ((v, n), (parent, n))))
    ids, draws = sorted(task.images), DRAWS[task.given.profile]
    arguments = [(task.coco, found[v], ids[:n], draws, task.given.seed) for v, n in pairs]
    scores = processes.starmap(judged, arguments, PROCESSES[task.given.profile])
    return dict(zip(pairs, scores, strict=True))


def accuracy_records(task: Task, found: Detections, scores: Scores) -> list[Record]:
    """COCO figures of each variant, and paired comparisons with the float parent.

    Intervals are bias-corrected bootstrap over images; differences resample
    the same images for both. `found_share` is the share of objects found at
    IoU 0.5 with score FOUND_SCORE; flips, McNemar and the smallest detectable
    difference compare it object by object, taking objects as independent.
    """
    parent = parent_of(found)
    records: list[Record] = []
    for variant in found:
        ids = judged_ids(task, variant)
        one, before = (scores[v, len(ids)].scored for v in (variant, parent))
        made = dict(one.figures)
        if variant != parent:
            for metric in one.figures:
                made[f"{metric}_difference"] = average_precision.difference(one, before, metric)
        seed = task.given.seed
        records += [RECORD.estimated(task, variant, m, e, seed=seed) for m, e in made.items()]
        records += _flip_records(task, found, variant, parent, ids)
    return records


def _flip_records(
    task: Task, found: Detections, variant: str, parent: str, ids: list[int]
) -> list[Record]:
    before, after = (
        coco.found_objects(task.coco, found[v], ids, FOUND_SCORE) for v in (parent, variant)
    )
    if not len(before):
        return []
    here = (task, variant, "found_share")
    share = RECORD.estimated(*here, stats.proportion(int(after.sum()), len(before)))
    if variant == parent:
        return [share]
    return [share, *RECORD.compared(*here, stats.paired(before, after))]


def noise_records(task: Task, arriving: pd.DataFrame, alone: pd.DataFrame) -> list[Record]:
    """Decibels by operator: of `noise.arriving` in the whole-graph int8 file, and of `noise.alone`.

    What has no signal, nothing but zeros, has no record.
    """
    made = (("snr_db", arriving, "db"), ("snr_own_db", alone, "own_db"))
    made += (("snr_end_db", alone, "end_db"), ("snr_end_mended_db", alone, "mended_db"))
    return [
        RECORD.counted(task, "int8_static", metric, row[column], row["n"],
                       where=row["where"], depth=row["depth"], part=row["kind"])
        for metric, table, column in made
        for _, row in table.iterrows()
        if np.isfinite(row[column])
    ]  # fmt: skip
