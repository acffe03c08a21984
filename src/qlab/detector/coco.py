"""COCO annotations and images: read, checked, and scored with pycocotools."""

import contextlib
import io
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from qlab.core.errors import QlabError

log = logging.getLogger(__name__)
# What qlab reads of COCO's annotations, and of which type it is.
_PARTS = {
    "images": {"id": int, "file_name": str, "width": int, "height": int},
    "categories": {"id": int, "name": str},
    "annotations": {"id": int, "image_id": int, "category_id": int, "bbox": list},
}
_SPELT = {int: "a whole number", str: "a text", list: "a list"}
_LARGEST = 1e300


def _quiet_coco(dataset: dict) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        coco = COCO()
        coco.dataset = dataset
        coco.createIndex()
    return coco


def load_annotations(path: Path) -> COCO:
    """Read an instances_*.json; every reference in it is checked before work starts.

    QlabError: no such file, no JSON, a list that is missing, an image or category unknown.
    """
    if not path.is_file():
        raise QlabError(f"There is no annotation file at {path}; expected a COCO instances_*.json.")
    try:
        dataset = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise QlabError(
            f"{path} is not valid JSON ({error}); expected COCO annotations."
        ) from error
    for key, parts in _PARTS.items():
        if not isinstance(dataset, dict) or not isinstance(dataset.get(key), list):
            raise QlabError(f"{path} lacks the list '{key}' that COCO annotations have.")
        _check_entries(dataset[key], parts, key, path)
    images = {i["id"] for i in dataset["images"]}
    categories = {c["id"] for c in dataset["categories"]}
    for a in dataset["annotations"]:
        _check_annotation(a, images, categories, path)
        a.setdefault("iscrowd", 0)
        a.setdefault("area", a["bbox"][2] * a["bbox"][3])
    return _quiet_coco(dataset)


def _check_annotation(a: dict, images: set[int], categories: set[int], path: Path) -> None:
    """One annotation against what it refers to, its box and its area."""
    if a["image_id"] not in images:
        raise QlabError(
            f"{path}: annotation {a['id']} is on image {a['image_id']}, which is not listed."
        )
    if a["category_id"] not in categories:
        raise QlabError(
            f"{path}: annotation {a['id']} has category {a['category_id']}, which is not among "
            f"the file's {len(categories)} categories."
        )
    if not all(map(_is_finite, a["bbox"])) or len(a["bbox"]) != 4 or min(a["bbox"][2:]) < 0:
        raise QlabError(
            f"{path}: annotation {a['id']} has the bbox {str(a['bbox'])[:80]}; expected the four "
            "numbers x, y, width, height, the last two not below 0."
        )
    if (
        not _is_finite(a.get("area", 0))
        or a.get("area", 0) < 0
        or a.get("iscrowd", 0) not in (0, 1)
    ):
        raise QlabError(
            f"{path}: annotation {a['id']} has area {a.get('area')} and iscrowd "
            f"{a.get('iscrowd')}; expected a number from 0, and 0 or 1."
        )
    if a["id"] == 0:  # pycocotools reads a match with object 0 as no match
        raise QlabError(f"{path}: an annotation has the id 0; COCO's ids start at 1.")


def _is_finite(value: object) -> bool:
    """Whether a value is a number that fits a float."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) < _LARGEST


def _check_entries(rows: list[dict], parts: dict[str, type], name: str, path: Path) -> None:
    """Every entry has what it must have, of the right type, and an id of its own."""
    seen = set()
    for i, row in enumerate(rows):
        if missing := [k for k in parts if not isinstance(row, dict) or k not in row]:
            raise QlabError(f"{path}: entry {i} of '{name}' lacks '{missing[0]}'.")
        for key, kind in parts.items():
            if not isinstance(row[key], kind) or isinstance(row[key], bool):
                raise QlabError(
                    f"{path}: entry {i} of '{name}' has the {key} {row[key]!r}; expected "
                    f"{_SPELT[kind]}."
                )
        if row["id"] in seen:
            raise QlabError(f"{path}: the id {row['id']} stands twice in '{name}'.")
        seen.add(row["id"])


def image_paths(coco: COCO, ids: Sequence[int], folder: Path) -> dict[int, Path]:
    """Where each image of the annotations lies; missing ones are named before work starts.

    QlabError: no folder, or images that it lacks.
    """
    if not folder.is_dir():
        raise QlabError(f"There is no folder with images at {folder}.")
    found = {i: folder / coco.imgs[i]["file_name"] for i in ids}
    missing = [p.name for p in found.values() if not p.is_file()]
    if missing:
        raise QlabError(
            f"{folder} lacks {len(missing)} of the {len(found)} annotated images, "
            f"first {missing[0]}."
        )
    return found


def check_numbers(results: list[dict], where: str) -> None:
    """Refuse scores and boxes that are no numbers.

    QlabError: the first such detection, with its image.
    """
    for r in results:
        if not all(map(math.isfinite, (r["score"], *r["bbox"]))):
            raise QlabError(
                f"{where}: the score or box of a detection on image {r['image_id']} is not a "
                "finite number; the model is broken (overflow in fp16, or a bad conversion)."
            )


def check_labels(results: list[dict], coco: COCO, where: str) -> None:
    """Refuse categories that the annotations do not know.

    Meant for the float model: a quantized one may answer with such a category
    because its class ids went through eight bits, which is a finding.
    QlabError: the first such category, with its image.
    """
    for r in results:
        if r["category_id"] not in coco.cats:
            raise QlabError(
                f"{where}: a detection on image {r['image_id']} has category {r['category_id']}, "
                "which the annotations do not know "
                f"(theirs: {min(coco.cats)} to {max(coco.cats)}). "
                "Was this model trained on other labels?"
            )


def _results(coco: COCO, results: list[dict]) -> COCO:
    """Detections as pycocotools wants them; unlike its loadRes, none at all is fine."""
    annotations = [
        {**r, "id": i, "area": r["bbox"][2] * r["bbox"][3], "iscrowd": 0}
        for i, r in enumerate(results, 1)
    ]
    kept = {k: coco.dataset[k] for k in ("images", "categories")}
    return _quiet_coco({**kept, "annotations": annotations})


def match(
    coco: COCO,
    results: list[dict],
    ids: Sequence[int],
    iou: float | None = None,
    overall: bool = False,
) -> COCOeval:
    """Match detections to objects as COCO does (crowds, ignored sizes, at most 100 an image).

    `ids` are the images that count. `iou` asks for one threshold instead of
    .50:.05:.95, `overall` for objects of all sizes together and no size class.
    The returned object holds the matches; `summary` scores them.
    """
    wanted = set(ids)
    counted = [r for r in results if r["image_id"] in wanted]
    evaluation = COCOeval(coco, _results(coco, counted), "bbox")
    evaluation.params.imgIds = sorted(wanted)
    if iou is not None:
        evaluation.params.iouThrs = np.array([iou])
    if overall:
        evaluation.params.areaRng = evaluation.params.areaRng[:1]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
    return evaluation


def summary(evaluation: COCOeval) -> np.ndarray:
    """The twelve COCO figures, float64 [12], as pycocotools itself computes them."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def found_objects(
    coco: COCO, results: list[dict], ids: Sequence[int], score: float, iou: float = 0.5
) -> np.ndarray:
    """Which annotated objects a detector finds: bool [objects], in order of annotation id.

    Found is matched by a detection of the right category with at least the
    given score and overlap. Crowds do not count.
    """
    answers = [r for r in results if r["score"] >= score]
    evaluation = match(coco, answers, ids, iou, overall=True)
    found: dict[int, bool] = {}
    for e in evaluation.evalImgs:
        if e is not None:
            hit = e["gtMatches"][0] > 0
            for gt, is_hit, ignored in zip(e["gtIds"], hit, e["gtIgnore"], strict=True):
                if not ignored:
                    found[gt] = bool(is_hit)
    return np.array([found[gt] for gt in sorted(found)], bool)
