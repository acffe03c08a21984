"""The explore section of notebook 01: images with the boxes of any variant."""

import html
from collections.abc import Mapping, Sequence
from functools import cache

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from qlab.core import live, plot
from qlab.core.errors import QlabError
from qlab.core.images import read_image
from qlab.detector import coco, pictures
from qlab.detector.data import Task
from qlab.detector.measure import FOUND_SCORE, Detections, judged_ids, parent_of

CHANGED = {"lost": plot.PALETTE[6], "gained": plot.PALETTE[2]}  # objects; as in the picture


def objects(
    task: Task, found: Detections, variant: str, ids: Sequence[int], score: float
) -> pd.DataFrame:
    """Each object of some images, by annotation id: image, name, float, variant, flip.

    `float` and `variant` say who finds it, as `measure` counts; `flip` is lost, gained or empty.
    """
    whole = [a for a in pictures.truth(task, list(ids)) if not a["iscrowd"]]
    whole.sort(key=lambda a: a["id"])
    names = [(a["image_id"], pictures.category(task, a)) for a in whole]
    table = pd.DataFrame(names, [a["id"] for a in whole], ["image", "name"])
    for column, one in (("float", parent_of(found)), ("variant", variant)):
        table[column] = coco.found_objects(task.coco, found[one], ids, score)
    change = table["float"].astype(int) - table["variant"].astype(int)
    return table.assign(flip=change.map({1: "lost", 0: "", -1: "gained"}))


def sentence(here: pd.DataFrame, whole: pd.DataFrame, counts: Mapping[str, int]) -> str:
    """What float and variant (the keys of `counts`, boxes drawn) find on one image and on all."""
    told = [
        f"{name} draws {count} box{'' if count == 1 else 'es'}, "
        f"finds {here[column].sum()} of {len(here)} objects"
        for (name, count), column in zip(counts.items(), ("float", "variant"), strict=False)
    ]
    names = {flip: ", ".join(here["name"][here["flip"] == flip]) or "none" for flip in CHANGED}
    sums = {flip: (whole["flip"] == flip).sum() for flip in CHANGED}
    return html.escape(
        f"{'; '.join(told)}. Lost: {names['lost']}; gained: {names['gained']}. On all images, with "
        f"scores from {FOUND_SCORE} on: {sums['lost']} lost, {sums['gained']} gained of "
        f"{len(whole)} objects.",
        quote=False,
    )


def picture(
    task: Task, here: pd.DataFrame, image: int, drawn: Mapping[str, Sequence[dict]]
) -> Figure:
    """The image with the true boxes, lost and gained ones in colour, and with each variant's."""
    plot.use_style()
    pixels = read_image(task.images[image])
    canvas, axes = subplots(ncols=1 + len(drawn), figsize=(3.3 * (1 + len(drawn)), 3.5))
    for axis, title in zip(axes, ("truth", *drawn), strict=True):
        axis.imshow(pixels, interpolation="none")
        axis.set_axis_off()
        axis.set_title(title)
    for a in pictures.truth(task, [image]):
        flip = here["flip"].get(a["id"], "")
        name = f"{pictures.category(task, a)} {flip}".strip()
        pictures.draw_box(axes[0], a, name, 8, CHANGED.get(flip, "#FFFFFF"))
    for axis, results in zip(axes[1:], drawn.values(), strict=True):
        for r in results:
            pictures.draw_box(axis, r, f"{pictures.category(task, r)} {r['score']:.2f}", 8)
    return canvas


def samples(task: Task, found: Detections):
    """A `live.follow` box: variant, least score and image to choose, those with most flips first.

    It shows the boxes beside the truth, and says what is found.
    """
    parent = parent_of(found)
    others = [v for v in found if v != parent] or [parent]

    @cache
    def whole(variant: str) -> tuple[pd.DataFrame, list[int]]:
        ids = judged_ids(task, variant)
        table = objects(task, found, variant, ids, FOUND_SCORE)
        flips = (table["flip"] != "").groupby(table["image"]).sum()
        shown = set(ids) & set(pictures.shown_to_all(task))  # what is seen may be passed on
        return table, sorted(shown, key=lambda i: (-flips.get(i, 0), i))

    def show(variant: str, score: float, place: int) -> tuple[str, Figure]:
        table, order = whole(variant)
        if place > len(order):
            raise QlabError(
                f"{variant} answered on {len(order)} images to show; take one of these."
            )
        image = order[place - 1]
        drawn = {
            v: [r for r in found[v] if r["image_id"] == image and r["score"] >= score]
            for v in dict.fromkeys((parent, variant))
        }
        here = objects(task, found, variant, [image], score)
        told = sentence(here, table, {v: len(results) for v, results in drawn.items()})
        file = html.escape(task.images[image].name, quote=False)
        told = f"{file}, scores from {score:.2f} on: {told} {pictures.credit(task, [image])}"
        return told, picture(task, here, image, drawn)

    controls = [
        live.choice(others, "variant", "int8_static" if "int8_static" in others else others[-1]),
        live.slider(FOUND_SCORE, 0.05, 0.95, 0.05, "score from"),
        live.counter(1, len(pictures.shown_to_all(task)), "image, most flips first"),
    ]
    return live.follow(show, controls)
