"""Small random COCO worlds for tests: annotations and plausible detections."""

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pycocotools.cocoeval import COCOeval

from qlab.core import records
from qlab.detector import measure
from qlab.detector.coco import quiet_coco


def random_world(seed: int, images: int = 6, objects: int = 4, copies: Sequence[int] | None = None):
    """A COCO of random boxes (some crowds, three categories) and detections near them.

    `copies` repeats each image that often, detections with it.
    """
    rng = np.random.default_rng(seed)
    truth: list[list[dict]] = [[] for _ in range(images)]
    answers: list[list[dict]] = [[] for _ in range(images)]
    for i in range(images):
        for _ in range(objects):
            x, y = rng.integers(0, 300, 2)
            w, h = rng.integers(5, 200, 2)
            category = int(rng.integers(1, 4))
            box, crowd = [float(v) for v in (x, y, w, h)], int(rng.random() < 0.1)
            about = {"category_id": category, "bbox": box, "area": float(w * h), "iscrowd": crowd}
            truth[i].append(about)
            for _ in range(int(rng.integers(0, 3))):
                dx, dy, dw, dh = rng.normal(0, 6, 4)
                near = np.round([x + dx, y + dy, max(1, w + dw), max(1, h + dh)], 3).tolist()
                named = category if rng.random() < 0.8 else int(rng.integers(1, 4))
                score = round(float(rng.random()), 6)
                answers[i].append({"category_id": named, "bbox": near, "score": score})
    copies = [1] * images if copies is None else copies
    shown = dict(enumerate((i for i in range(images) for _ in range(copies[i])), 1))  # by id
    size = {"width": 500, "height": 500}
    annotations = [{"image_id": n, **a} for n, i in shown.items() for a in truth[i]]
    world = quiet_coco({
        "images": [{"id": n, "file_name": f"{n}.png", **size} for n in shown],
        "annotations": [{"id": number, **a} for number, a in enumerate(annotations, 1)],
        "categories": [{"id": c, "name": str(c)} for c in (1, 2, 3)],
    })  # fmt: skip
    return world, [{"image_id": n, **r} for n, i in shown.items() for r in answers[i]]


def written_world(folder: Path, count: int, size: tuple[int, int]) -> dict[str, str]:
    """Parameters that name `count` photos of one grey each, and a box on each of them."""
    (folder / "img").mkdir()
    entries, boxes = [], []
    for i in range(1, count + 1):
        Image.new("RGB", size, (i, i, i)).save(folder / "img" / f"{i}.png")
        entries.append({"id": i, "file_name": f"{i}.png", "width": size[0], "height": size[1]})
        boxes.append({"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 2, 2]})
    world = {"images": entries[::-1], "annotations": boxes, "categories": [{"id": 1, "name": "a"}]}
    (folder / "instances_x.json").write_text(json.dumps(world))
    return {"annotations": str(folder / "instances_x.json"), "images": str(folder / "img")}


def accuracy(work, found) -> pd.DataFrame:
    """The records of detections by variant."""
    return records.as_table(measure.accuracy_records(work, found, measure.score(work, found)))


def value(table: pd.DataFrame, variant: str, metric: str) -> pd.Series:
    """The one record of a variant's metric."""
    return records.pick(table, metric, variant=variant).iloc[0]


def perfect(work, score: float = 0.9) -> list[dict]:
    """A detection of every object of a task, exactly on it."""
    return [
        {k: a[k] for k in ("image_id", "category_id", "bbox")} | {"score": score}
        for a in work.coco.anns.values()
    ]


def summary(evaluation: COCOeval) -> np.ndarray:
    """The twelve COCO figures of matched detections, as pycocotools itself computes them."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats
