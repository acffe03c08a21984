"""Images with the boxes that a detector's variants find, and the truth: a figure, an explorer."""

import html
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache

import ipywidgets
import pandas as pd

from qlab.core import live, plot
from qlab.detector import coco
from qlab.detector.data import Task
from qlab.detector.measure import FOUND_SCORE, Detections, judged_ids, parent_of
from qlab.images.photos import read_image

# COCO's licences that allow a photo to be shown to all, by their id in the annotations.
OPEN = {4: "CC BY 2.0", 5: "CC BY-SA 2.0", 7: "no known restrictions", 8: "US government work"}
CHANGED = {"lost": plot.PALETTE[6], "gained": plot.PALETTE[2]}  # colours of objects
PLAIN = "#FFFFFF"


def shown_to_all(task: Task) -> list[int]:
    """Ids of images that a committed picture may show: licensed as in OPEN, or drawn ones."""
    return [i for i in sorted(task.images) if task.coco.imgs[i].get("license", 8) in OPEN]


def credit(task: Task, ids: list[int]) -> str:
    """Sources and licences of the photos among some images; empty if there are none."""
    told = []
    for entry in task.coco.loadImgs(ids):
        if photo := re.search(r"/(\d+)_\w+\.jpg$", entry.get("flickr_url", "")):
            told.append(f"flickr.com/photo.gne?id={photo[1]} ({OPEN[entry['license']]})")
    return f"Photos: {', '.join(told)}" if told else ""


def _draw(axis, task: Task, image: int, shown: Iterable[Mapping], size: float) -> None:
    """Draw boxes on an image: annotations or detections, each with its category and `told` text."""
    pixels = read_image(task.images[image])
    step = -(-max(pixels.shape) // 256)  # an SVG with all pixels of photos has 9 MB
    place = (0, pixels.shape[1], pixels.shape[0], 0)
    axis.imshow(pixels[::step, ::step], interpolation="none", extent=place)
    axis.set_axis_off()
    for entry in shown:
        # A broken variant's category may have no name.
        name = task.coco.cats.get(entry["category_id"], {"name": "?"})["name"]
        told, (x, y, width, height) = entry.get("told", ""), entry["bbox"]
        for edge, line in (("#000000", 2.4), (CHANGED.get(told, PLAIN), 1.1)):  # on any image
            axis.add_patch(plot.plt.Rectangle((x, y), width, height, fill=False, ec=edge, lw=line))
        label = {"facecolor": "#000000", "pad": 0.8, "lw": 0, "alpha": 0.75}
        look = {"color": PLAIN, "clip_on": True, "va": "bottom", "fontsize": size, "bbox": label}
        axis.annotate(f"{name} {told}".strip(), (x, y), (1, 1), "data", "offset points", **look)


def boxes(task: Task, found: Detections) -> None:
    """Draw two images with the boxes that each variant finds, and the truth."""
    # Images with about five objects: enough to see, not too many to tell apart.
    ids = sorted(shown_to_all(task), key=lambda i: (abs(len(task.coco.getAnnIds([i])) - 5), i))
    ids = ids[:2]
    shown = {"truth": [a | {"score": 1.0} for a in task.coco.loadAnns(task.coco.getAnnIds(ids))]}
    for v in found:
        shown[v] = [r for r in found[v] if r["image_id"] in ids and r["score"] >= FOUND_SCORE]
    columns = ["variant", "score", "image_id", "category_id", "bbox"]
    drawn = pd.DataFrame([{"variant": v} | r for v in shown for r in shown[v]], columns=columns)
    drawn[["x", "y", "width", "height"]] = drawn.pop("bbox").tolist()
    layout = {"nrows": 2, "ncols": len(shown), "figsize": (2.3 * len(shown), 5)}
    with plot.figure("centernet_boxes", task.place, drawn, **layout) as (canvas, axes):
        for i, line in zip(ids, axes, strict=True):
            for axis, (variant, entries) in zip(line, shown.items(), strict=True):
                _draw(axis, task, i, [e for e in entries if e["image_id"] == i], 6)
                axis.set_title(variant if i == ids[0] else "", fontsize=9)
        canvas.suptitle(f"{task.model}: boxes with score ≥ {FOUND_SCORE} (truth: all)", fontsize=11)
        canvas.supxlabel(credit(task, ids), fontsize=7)


def flips(task: Task, found: Detections, variant: str, ids: list[int], score: float) -> pd.Series:
    """Objects that a variant loses or gains against float: lost, gained or "", by annotation id."""
    kept = sorted(task.coco.getAnnIds(ids, iscrowd=0))
    pair = (found[v] for v in (parent_of(found), variant))
    before, after = (coco.found_objects(task.coco, one, ids, score).astype(int) for one in pair)
    return pd.Series(before - after, kept).map({1: "lost", 0: "", -1: "gained"})


def samples(task: Task, found: Detections):
    """A `live.follow` box that shows, for a variant, a least score and an image, the true boxes
    (lost and gained ones in colour) and those that float and the variant find."""
    parent = parent_of(found)
    others = [v for v in found if v != parent] or [parent]

    @cache
    def order(variant: str) -> list[int]:
        ids = judged_ids(task, variant)
        changed = flips(task, found, variant, ids, FOUND_SCORE)
        counts = Counter(task.coco.anns[a]["image_id"] for a in changed.index[changed != ""])
        # Only these, because what a reader sees may be passed on.
        return sorted({*ids} & {*shown_to_all(task)}, key=lambda i: (-counts[i], i))

    def show(variant: str, score: float, place: int) -> tuple[str, plot.plt.Figure]:
        image = order(variant)[:place][-1]
        changed = flips(task, found, variant, [image], score)
        truth = task.coco.loadAnns(task.coco.getAnnIds([image]))
        panels = {"truth": [a | {"told": changed.get(a["id"], "")} for a in truth]}
        for v in dict.fromkeys((parent, variant)):
            sure = [r for r in found[v] if r["image_id"] == image and r["score"] >= score]
            panels[v] = [r | {"told": f"{r['score']:.2f}"} for r in sure]
        plot.use_style()
        canvas, axes = plot.plt.subplots(ncols=len(panels), figsize=(3.3 * len(panels), 3.5))
        for axis, (title, entries) in zip(axes, panels.items(), strict=True):
            _draw(axis, task, image, entries, 8)
            axis.set_title(title)
        told = f"{task.images[image].name}, scores from {score:.2f} on: of {len(changed)} objects "
        told += " and ".join(f"{(changed == flip).sum()} are {flip}" for flip in CHANGED)
        return html.escape(f"{told}. {credit(task, [image])}", quote=False), canvas

    first = "int8_static" if "int8_static" in others else others[-1]
    controls = [
        ipywidgets.Dropdown(options=others, value=first, description="variant"),
        ipywidgets.FloatSlider(
            FOUND_SCORE, min=0.05, max=0.95, step=0.05, description="score from"
        ),
        ipywidgets.IntSlider(1, 1, len(shown_to_all(task)), description="image, most flips first"),
    ]
    return live.follow(show, controls)
