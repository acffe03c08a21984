"""Experiment `centernet_ptq`: sizes, answers, accuracy and noise of notebook 01's variants."""

import gzip
import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from pycocotools.coco import COCO

from qlab.core import processes, stats
from qlab.core.errors import QlabError
from qlab.core.records import COMPARED, Record, Recorder, metrics
from qlab.detector import coco
from qlab.detector import detect as detectors
from qlab.detector.average_precision import Judged, difference, judged
from qlab.detector.data import Task

EXPERIMENT = "centernet_ptq"
PARENT = "fp32"
SLOW = "int16x8"  # LiteRT has only reference kernels for it: evaluated on fewer images
FEW = ("int4", "int4_mse", "int4_octav", "int4_mixed", "int4_gptq", "int4_blocks", "int4_hadamard")
INT8 = ("int8_dynamic", "int8_dynamic_deconv_fp32", "int8_dynamic_depthwise_fp32")
INT8 += ("int8_dynamic_subpixel", "int8_static", "int8_selective", SLOW)
# Bits of the weights, where known; in the order of figures.
BITS = {PARENT: 32, "fp16": 16, **dict.fromkeys(INT8, 8), **dict.fromkeys(FEW, 4)}
SLOW_LIMIT = {"smoke": 8, "mini": 50, "small": 128, "full": 100}  # images that judge SLOW
FEW_LIMIT = {"smoke": 8, "mini": 100, "small": 0, "full": 500}  # images that judge FEW; 0: all
FOUND_SCORE = 0.3  # a detection counts as an answer from this score on (zoo demos draw from 0.3)
DRAWS = {"smoke": 100, "mini": 500, "small": 500, "full": 500}  # bootstrap resamples
PROCESSES = {"smoke": 1, "mini": 2, "small": 2, "full": 2}  # at most, for untimed work
# Metrics in decibels, by their columns in the tables of `noise`.
_NOISE = {"db": "snr_db", "own_db": "snr_own_db", "end_db": "snr_end_db"}
_NOISE["mended_db"] = "snr_end_mended_db"
Files = dict[str, Path]
Detections = dict[str, list[dict]]
Scores = dict[tuple[str, int], Judged]  # by variant and number of images
log = logging.getLogger(__name__)


class _Recorder(Recorder):
    """Adds to every record the bits of its variant's weights."""

    def counted(self, task, variant, metric, value, n=1, **more) -> Record:
        about = {"bits": BITS.get(variant), **more}
        return super().counted(task, variant, metric, value, n, **about)


RECORD = _Recorder(EXPERIMENT, metrics(__file__) | COMPARED)


def running(files: Files, threads: int) -> Files:
    """The files that LiteRT can run; one that it refuses (some scales of int16) is left out."""
    kept = {}
    for variant, file in files.items():
        try:
            detectors.Detector(file, threads).invoke()
            kept[variant] = file
        except (QlabError, RuntimeError) as error:
            if variant == PARENT:
                raise
            log.warning("%s is left out: LiteRT does not run it (%s).", variant, error)
    return kept


def parent_of(variants: Mapping[str, object]) -> str:
    """The float variant that the others are compared with."""
    return PARENT if PARENT in variants else next(iter(variants))


def size_records(task: Task, files: Files) -> list[Record]:
    """Bytes of each file, and of the file gzip-compressed."""
    records = []
    for variant, file in files.items():
        packed = gzip.compress(file.read_bytes(), 6, mtime=0)
        sizes = {"size_bytes": file.stat().st_size, "size_gzip_bytes": len(packed)}
        records += [RECORD.counted(task, variant, m, count) for m, count in sizes.items()]
    return records


def detect(task: Task, files: Files, progress=iter) -> Detections:
    """Run each variant on its `judged_ids`. QlabError: the parent finds unknown categories."""
    count, threads = shared(task, len(files))
    # The parent comes first, as it shows whether the model fits the annotations; then the slowest,
    # so that the others do not end and wait for it.
    order = sorted(files, key=[PARENT, "as_is", SLOW, *files].index)
    images = {v: {i: task.images[i] for i in judged_ids(task, v)} for v in order}
    known = dict.fromkeys((PARENT, "as_is"), task.coco)
    arguments = [(files[v], images[v], threads, known.get(v)) for v in order]
    found = processes.starmap(_detections, arguments, count, progress)
    return {v: found[order.index(v)] for v in files}


def _detections(file: Path, images: dict, threads: int, known: COCO | None) -> list[dict]:
    """A file's detections; QlabError if `known` lacks one of their categories."""
    [found] = detectors.detect_each([file], images, threads)
    if known and (strange := {r["category_id"] for r in found} - set(known.cats)):
        raise QlabError(
            f"{file.name}: a detection has category {min(strange)}, which the annotations do not "
            f"know (theirs: {min(known.cats)} to {max(known.cats)}). Was it trained on others?"
        )
    return found


def shared(task: Task, items: int) -> tuple[int, int]:
    """Number of processes for `items` items, and LiteRT's threads in each: `threads` in all."""
    count = max(1, min(task.given.threads, PROCESSES[task.given.profile], items))
    return count, task.given.threads // count


def judged_ids(task: Task, variant: str) -> list[int]:
    """Ids of the images that a variant runs on: all, or for SLOW and FEW only the first."""
    limits = {SLOW: SLOW_LIMIT, **dict.fromkeys(FEW, FEW_LIMIT)}.get(variant, {})
    return sorted(task.images)[: limits.get(task.given.profile) or None]


def score(task: Task, found: Detections) -> Scores:
    """Score each variant's detections, and the parent's on each variant's images."""
    counts, parent = {v: len(judged_ids(task, v)) for v in found}, parent_of(found)
    pairs = [*dict.fromkeys((one, n) for v, n in counts.items() for one in (v, parent))]
    ids, how = sorted(task.images), (DRAWS[task.given.profile], task.given.seed)
    arguments = [(task.coco, found[v], ids[:n], *how) for v, n in pairs]
    scores = processes.starmap(judged, arguments, PROCESSES[task.given.profile])
    return dict(zip(pairs, scores, strict=True))


def accuracy_records(task: Task, found: Detections, scores: Scores) -> list[Record]:
    """COCO figures of each variant, and paired comparisons with the float parent; those of objects
    found at IoU 0.5 with score FOUND_SCORE (`found_share`) treat objects as independent."""
    parent, records, about = parent_of(found), [], {"seed": task.given.seed}
    for variant in found:
        ids = judged_ids(task, variant)
        one, before = (scores[v, len(ids)] for v in (variant, parent))
        made = dict(one.figures)
        if variant != parent:
            made |= {f"{m}_difference": difference(one, before, m) for m in one.figures}
        records += [RECORD.estimated(task, variant, m, e, **about) for m, e in made.items()]
        pair = (found[v] for v in (parent, variant))
        was, now = (coco.found_objects(task.coco, one, ids, FOUND_SCORE) for one in pair)
        if len(now):
            here, share = (task, variant, "found_share"), stats.proportion(int(now.sum()), len(now))
            records.append(RECORD.estimated(*here, share))
            if variant != parent:
                records += RECORD.compared(*here, stats.paired(was, now))
    return records


def noise_records(task: Task, arriving: pd.DataFrame, alone: pd.DataFrame) -> list[Record]:
    """Decibels by operator, from `noise`'s two tables; no record where there is no signal."""
    both = pd.concat([arriving, alone]).rename(columns=_NOISE | {"kind": "part"})
    rows = both.melt(["where", "depth", "part", "n"], [*_NOISE.values()], "metric").dropna()
    return [RECORD.counted(task, "int8_static", **row) for row in rows.to_dict("records")]
