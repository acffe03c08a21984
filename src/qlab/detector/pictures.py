"""Images with the boxes that the variants of a detector draw, and the truth."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.patches import Rectangle

from qlab.core import plot
from qlab.core.images import read_image
from qlab.detector.data import Task
from qlab.detector.measure import FOUND_SCORE, Detections
from qlab.detector.robustness import VARIANTS


def boxes(task: Task, found: Detections, count: int = 2) -> None:
    """The same images with the boxes each variant draws, and the truth."""
    shown = [v for v in VARIANTS if v in found] or list(found)[:1]
    # Images with about five objects: enough to see, not too many to tell apart.
    ids = sorted(task.images, key=lambda i: (abs(len(task.coco.getAnnIds([i])) - 5), i))[:count]
    rows = [{"variant": "truth", "score": 1.0, **box(a)} for a in truth(task, ids)]
    rows += [
        {"variant": v, "score": r["score"], **box(r)}
        for v in shown
        for r in found[v]
        if r["image_id"] in ids and r["score"] >= FOUND_SCORE
    ]
    drawn = pd.DataFrame(rows)
    columns = ["truth", *shown]
    layout = {"nrows": count, "ncols": len(columns), "squeeze": False}
    layout["figsize"] = (1.7 * len(columns), 1.85 * count + 0.3)
    with plot.figure("centernet_boxes", task.place, drawn, **layout) as (canvas, axes):
        for axis, variant in zip(axes[0], columns, strict=True):
            axis.set_title(variant, fontsize=9)
        for line, image_id in zip(axes, ids, strict=True):
            picture = read_image(task.images[image_id])
            for axis, variant in zip(line, columns, strict=True):
                axis.imshow(picture, interpolation="none")  # in the SVG: the pixels themselves
                axis.set_axis_off()
                chosen = drawn[(drawn["variant"] == variant) & (drawn["image_id"] == image_id)]
                for _, b in chosen.iterrows():
                    draw_box(axis, b, category(task, b))
        canvas.suptitle(f"Boxes with score ≥ {FOUND_SCORE} (truth: all)", fontsize=11)


def truth(task: Task, ids: list[int]) -> list[dict]:
    """The annotated objects of some images."""
    return task.coco.loadAnns(task.coco.getAnnIds(ids))


def category(task: Task, entry: Mapping) -> str:
    """The name of an annotation's or a detection's category; a broken variant's may have none."""
    return task.coco.cats.get(entry["category_id"], {"name": "?"})["name"]


def box(entry: dict) -> dict:
    """Image, category and place in pixels of an annotation or a detection."""
    x, y, w, h = entry["bbox"]
    return {"image_id": entry["image_id"], "category_id": entry["category_id"],
            "x": x, "y": y, "width": w, "height": h}  # fmt: skip


def draw_box(
    axis, b: Mapping[str, float], name: str, fontsize: float = 6, colour: str = "#FFFFFF"
) -> None:
    """A `box` with its name, in black and a light colour, to be seen on any image."""
    place = ((b["x"], b["y"]), b["width"], b["height"])
    axis.add_patch(Rectangle(*place, fill=False, ec="#000000", lw=2.4))
    axis.add_patch(Rectangle(*place, fill=False, ec=colour, lw=1.1))
    axis.annotate(name, (b["x"], b["y"]), (1, 1), textcoords="offset points", fontsize=fontsize,
                  color="#FFFFFF", clip_on=True, va="bottom",
                  bbox={"facecolor": "#000000", "pad": 0.8, "lw": 0, "alpha": 0.75})  # fmt: skip
