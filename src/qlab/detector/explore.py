"""The explore section of notebook 01: images with the boxes of any variant, and curves of some."""

import html
from collections.abc import Mapping, Sequence
from functools import cache

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from qlab.core import live, plot
from qlab.core.errors import QlabError
from qlab.core.images import read_image
from qlab.core.records import interval
from qlab.detector import coco, pictures, plots
from qlab.detector.average_precision import SIZES
from qlab.detector.data import Task
from qlab.detector.measure import FOUND_SCORE, Detections, judged_ids, parent_of

IOU, AREA = "overlap (IoU)", "size of the object"
TOLD = {IOU: {"ap50": "AP50", "ap75": "AP75", "ap95": "AP95"},
        AREA: {f"ap_{area}": area for area in SIZES}}  # fmt: skip
CHANGED = {"lost": plot.PALETTE[6], "gained": plot.PALETTE[2]}  # objects; as in the picture
_MAIN = ("fp32", "int8_dynamic", "int8_static", "int8_selective")  # shown at first


def objects(
    task: Task, found: Detections, variant: str, ids: Sequence[int], score: float
) -> pd.DataFrame:
    """Each object of some images, by annotation id: does float find it, does the variant?

    Columns image, name, float, variant; as `measure` counts flips: found is IoU 0.5 and the
    right category with at least the given score, and crowds do not count.
    """
    whole = [a for a in pictures.truth(task, list(ids)) if not a["iscrowd"]]
    whole.sort(key=lambda a: a["id"])
    names = [(a["image_id"], pictures.category(task, a)) for a in whole]
    table = pd.DataFrame(names, [a["id"] for a in whole], ["image", "name"])
    for column, one in (("float", parent_of(found)), ("variant", variant)):
        table[column] = coco.found_objects(task.coco, found[one], ids, score)
    return table


def by_flips(table: pd.DataFrame, ids: Sequence[int]) -> list[int]:
    """Images by how many of `objects` only one of float and variant finds, most first."""
    flips = (table["float"] != table["variant"]).groupby(table["image"]).sum()
    return sorted(ids, key=lambda i: (-flips.get(i, 0), i))


def boxes_drawn(found: Detections, variant: str, image: int, score: float) -> list[dict]:
    """A variant's detections on an image with at least a score."""
    return [r for r in found[variant] if r["image_id"] == image and r["score"] >= score]


def sentence(
    here: pd.DataFrame, whole: pd.DataFrame, counts: Mapping[str, int], score: float
) -> str:
    """What float and variant (the keys of `counts`, boxes drawn) find on one image and on all."""
    finds = [int(here[column].sum()) for column in ("float", "variant")]
    told = [
        f"{name} draws {count} box{'' if count == 1 else 'es'}, finds {hits} of {len(here)} objects"
        for (name, count), hits in zip(counts.items(), finds, strict=False)
    ]
    text = f"With scores from {score:.2f} on, {'; '.join(told)}."
    if len(counts) == 1:
        return text
    lost, gained = _flips(here)
    names = [html.escape(", ".join(part["name"]), quote=False) or "none" for part in (lost, gained)]
    all_lost, all_gained = (len(part) for part in _flips(whole))
    return (
        f"{text} Lost: {names[0]}; gained: {names[1]}.<br>On all images, with scores from "
        f"{FOUND_SCORE} on, it loses {all_lost} and gains {all_gained} of {len(whole)} objects."
    )


def _flips(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Objects that only float finds, and those that only the variant finds."""
    return table[table["float"] & ~table["variant"]], table[table["variant"] & ~table["float"]]


def picture(
    task: Task, here: pd.DataFrame, image: int, drawn: Mapping[str, Sequence[dict]]
) -> Figure:
    """The image with the true boxes, lost and gained ones in colour, and with each variant's."""
    plot.use_style()
    pixels = read_image(task.images[image])
    canvas, axes = subplots(ncols=1 + len(drawn), figsize=(3.3 * (1 + len(drawn)), 3.5))
    for axis in axes:
        axis.imshow(pixels, interpolation="none")
        axis.set_axis_off()
    marks = dict.fromkeys(here.index, "")
    for part, mark in zip(_flips(here), CHANGED, strict=True):
        marks |= dict.fromkeys(part.index, mark)
    axes[0].set_title("truth")
    for a in pictures.truth(task, [image]):
        mark = marks.get(a["id"], "")
        name = f"{pictures.category(task, a)} {mark}".strip()
        pictures.draw_box(axes[0], pictures.box(a), name, 8, CHANGED.get(mark, "#FFFFFF"))
    for axis, (variant, results) in zip(axes[1:], drawn.items(), strict=True):
        axis.set_title(variant)
        for r in results:
            name = f"{pictures.category(task, r)} {r['score']:.2f}"
            pictures.draw_box(axis, pictures.box(r), name, 8)
    return canvas


def samples(task: Task, found: Detections):
    """Variant, least score and image to choose; boxes beside the truth, and what is found.

    Images come in the order of `by_flips`. A box (`live.follow`) whose children are variant, score,
    image (its place in that order), text, picture.
    """
    parent = parent_of(found)
    others = [v for v in found if v != parent] or [parent]

    @cache
    def whole(variant: str) -> tuple[pd.DataFrame, list[int]]:
        ids = judged_ids(task, variant)
        table = objects(task, found, variant, ids, FOUND_SCORE)
        return table, by_flips(table, ids)

    def show(variant: str, score: float, place: int) -> tuple[str, Figure]:
        table, order = whole(variant)
        if place > len(order):
            raise QlabError(f"{variant} answered on {len(order)} images only; take one of these.")
        image = order[place - 1]
        drawn = {v: boxes_drawn(found, v, image, score) for v in dict.fromkeys((parent, variant))}
        here = objects(task, found, variant, [image], score)
        counts = {v: len(results) for v, results in drawn.items()}
        told = sentence(here, table, counts, score)
        file = html.escape(task.images[image].name, quote=False)
        return f"{file}: {told}", picture(task, here, image, drawn)

    first = "int8_static" if "int8_static" in others else others[-1]
    controls = [
        live.choice(others, "variant", first),
        live.slider(FOUND_SCORE, 0.05, 0.95, 0.05, "score from"),
        live.counter(1, len(task.images), "image, most flips first"),
    ]
    return live.follow(show, controls)


def curves(table: pd.DataFrame):
    """AP by overlap or by object size of the variants that one picks, from the records.

    A box (`live.follow`) whose children are what to split by, variants, text, picture.
    """
    rows = {IOU: plots.iou_rows(table), AREA: plots.area_rows(table, "ap")}
    variants = list(dict.fromkeys(rows[IOU]["variant"]))

    def show(by: str, picked: tuple[str, ...]) -> tuple[str, Figure]:
        some = rows[by][rows[by]["variant"].isin(picked)]
        if some.empty:
            raise QlabError(f"Pick one or more variants; there are {', '.join(variants)}.")
        return _scores(some, TOLD[by]), _curves(some, by)

    picked = [v for v in variants if v in _MAIN] or variants
    controls = [live.choice([IOU, AREA], "AP by"), live.several(variants, "variants", picked)]
    return live.follow(show, controls)


def _scores(rows: pd.DataFrame, metrics: Mapping[str, str]) -> str:
    """Some figures of each variant, with their intervals, a line a variant."""
    lines = []
    for variant, one in rows[rows["metric"].isin(metrics)].groupby("variant", sort=False):
        told = (f"{metrics[row['metric']]} {interval(row)}" for _, row in one.iterrows())
        lines.append(f"{variant}: {', '.join(told)}")
    return "<br>".join(lines)


def _curves(rows: pd.DataFrame, by: str) -> Figure:
    plot.use_style()
    canvas, axis = subplots(figsize=(8.2, 3.8))
    plots.iou_lines(axis, rows) if by == IOU else plots.area_bars(axis, rows, "ap")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return canvas
