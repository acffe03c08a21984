"""Images with the boxes that the variants of a detector draw, and the truth."""

import re
from collections.abc import Mapping

import pandas as pd
from matplotlib.patches import Rectangle

from qlab.core import plot
from qlab.core.images import read_image
from qlab.detector.data import Task
from qlab.detector.measure import FOUND_SCORE, Detections
from qlab.detector.robustness import VARIANTS

# COCO's licences under which a photo may be shown to all, by their id in the annotations.
OPEN = {4: "CC BY 2.0", 5: "CC BY-SA 2.0", 7: "no known restrictions", 8: "US government work"}


def shown_to_all(task: Task) -> list[int]:
    """Images that a committed picture may show: of COCO's photos, those whose licence is in OPEN.

    An image without a licence id, such as a drawn one, is its owner's to show.
    """
    return [i for i in sorted(task.images) if task.coco.imgs[i].get("license", 8) in OPEN]


def credit(task: Task, ids: list[int]) -> str:
    """Where the photos among some images come from, and under which licence; else nothing."""
    told = []
    for entry in (task.coco.imgs[i] for i in ids):
        if photo := re.search(r"/(\d+)_\w+\.jpg$", entry.get("flickr_url", "")):
            told.append(f"flickr.com/photo.gne?id={photo[1]} ({OPEN[entry['license']]})")
    return f"Photos: {', '.join(told)}" if told else ""


def boxes(task: Task, found: Detections, count: int = 2) -> None:
    """The same images with the boxes each variant draws, and the truth."""
    # Images with about five objects: enough to see, not too many to tell apart.
    ids = sorted(shown_to_all(task), key=lambda i: (abs(len(task.coco.getAnnIds([i])) - 5), i))
    ids = ids[:count]
    shown = {"truth": [a | {"score": 1.0} for a in truth(task, ids)]}
    for v in [v for v in VARIANTS if v in found] or list(found)[:1]:
        shown[v] = [r for r in found[v] if r["image_id"] in ids and r["score"] >= FOUND_SCORE]
    columns = ["score", "image_id", "category_id", "bbox"]
    drawn = pd.DataFrame(
        [{"variant": v} | {c: r[c] for c in columns} for v in shown for r in shown[v]]
    )
    drawn[["x", "y", "width", "height"]] = drawn.pop("bbox").tolist()
    layout = {"nrows": count, "ncols": len(shown), "squeeze": False}
    layout["figsize"] = (1.7 * len(shown), 1.85 * count + 0.3)
    with plot.figure("centernet_boxes", task.place, drawn, **layout) as (canvas, axes):
        for image_id, line in zip(ids, axes, strict=True):
            picture = read_image(task.images[image_id])
            for axis, variant in zip(line, shown, strict=True):
                # The SVG holds these pixels: no more than are seen, or it has 9 MB of photos.
                step = -(-max(picture.shape) // 256)
                place = (0, picture.shape[1], picture.shape[0], 0)
                axis.imshow(picture[::step, ::step], interpolation="none", extent=place)
                axis.set_axis_off()
                for r in (r for r in shown[variant] if r["image_id"] == image_id):
                    draw_box(axis, r, category(task, r))
        for axis, variant in zip(axes[0], shown, strict=True):
            axis.set_title(variant, fontsize=9)
        canvas.suptitle(f"{task.model}: boxes with score ≥ {FOUND_SCORE} (truth: all)", fontsize=11)
        canvas.supxlabel(credit(task, ids), fontsize=7)


def truth(task: Task, ids: list[int]) -> list[dict]:
    """The annotated objects of some images."""
    return task.coco.loadAnns(task.coco.getAnnIds(ids))


def category(task: Task, entry: Mapping) -> str:
    """The name of an annotation's or a detection's category; a broken variant's may have none."""
    return task.coco.cats.get(entry["category_id"], {"name": "?"})["name"]


def draw_box(axis, entry: Mapping, name: str, fontsize: float = 6, colour: str = "#FFFFFF") -> None:
    """An annotation's or a detection's box with a name, in black and a light colour."""
    x, y, width, height = entry["bbox"]
    for edge, line in (("#000000", 2.4), (colour, 1.1)):  # to be seen on any image
        axis.add_patch(Rectangle((x, y), width, height, fill=False, ec=edge, lw=line))
    axis.annotate(name, (x, y), (1, 1), textcoords="offset points", fontsize=fontsize,
                  color="#FFFFFF", clip_on=True, va="bottom",
                  bbox={"facecolor": "#000000", "pad": 0.8, "lw": 0, "alpha": 0.75})  # fmt: skip
