"""Detectors on worse copies of the images: does a variant fail before its parent does?"""

from collections.abc import Mapping
from pathlib import Path

from qlab.core import processes
from qlab.core.records import Record
from qlab.detector import detect
from qlab.detector.average_precision import Judged, difference, judged
from qlab.detector.data import Task
from qlab.detector.measure import DRAWS, RECORD, parent_of, shared
from qlab.images import corruptions

LIMIT = {"smoke": 8, "mini": 50, "small": 128, "full": 500}  # images
STRENGTHS = {"smoke": (2,), **dict.fromkeys(("mini", "small", "full"), corruptions.STRENGTHS)}
CLEAN = ("clean", 0)  # the same images as they are
Under = dict[tuple[str, int], dict[str, Judged]]  # by condition and strength, then by variant


def score(task: Task, files: Mapping[str, Path], progress=iter) -> Under:
    """Score files, the parent among them, on the first images under each corruption."""
    profile = task.given.profile
    conditions = [CLEAN, *((k, s) for k in corruptions.KINDS for s in STRENGTHS[profile])]
    images = {i: task.images[i] for i in sorted(task.images)[: LIMIT[profile]]}
    count, threads = shared(task, len(conditions))
    same = (files, images, task.coco, threads, DRAWS[profile], task.given.seed)
    arguments = [(condition, *same) for condition in conditions]
    found = processes.starmap(_judged_under, arguments, count, progress)
    return dict(zip(conditions, found, strict=True))


def _judged_under(condition, files, images, coco, threads, draws, seed) -> dict[str, Judged]:
    """The overall figures of each detector in `files` under a corruption."""
    worse = None if condition == CLEAN else (*condition, seed)
    found = detect.detect_each([*files.values()], images, threads, worse)
    pairs = zip(files, found, strict=True)
    return {v: judged(coco, results, sorted(images), draws, seed, True) for v, results in pairs}


def robustness_records(task: Task, under: Under) -> list[Record]:
    """AP of each variant on corrupted images, its difference to the float parent's, and this minus
    the difference on clean images (`ap_difference_extra`)."""
    records, parent = [], parent_of(under[CLEAN])
    for (kind, strength), variants in under.items():
        about = {"seed": task.given.seed, "condition": kind, "strength": strength}
        for variant, one in variants.items():
            made = {"ap": one.figures["ap"]}
            if variant != parent:
                made["ap_difference"] = difference(one, variants[parent], "ap")
            if variant != parent and strength:
                usual = under[CLEAN][variant], under[CLEAN][parent]
                made["ap_difference_extra"] = difference(one, variants[parent], "ap", usual)
            records += [RECORD.estimated(task, variant, m, e, **about) for m, e in made.items()]
    return records
