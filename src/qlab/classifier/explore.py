"""The explore section of notebook 03: images where a point answers otherwise than float."""

import html
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from qlab.classifier.data import Task
from qlab.classifier.points import Answer, Point
from qlab.core import live, plot
from qlab.core.errors import QlabError

SHOWN = 5  # classes of an image


def by_disagreement(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Images, those of another class first, then by how far the probabilities [n, classes] moved.

    Far is the total variation, half of the sum of the differences.
    """
    moved = np.abs(before - after).sum(axis=1) / 2
    return np.lexsort((-moved, before.argmax(axis=1) == after.argmax(axis=1)))


def about_image(task: Task, at: int, shares: Mapping[str, np.ndarray]) -> str:
    """What float and a variant say to one image, and how often they differ on all."""
    labels, classes = task.test.labels, [html.escape(c, quote=False) for c in task.test.classes]
    before, after = (p.argmax(axis=1) for p in shares.values())
    says = [
        f"{name} says {classes[p[at].argmax()]} ({p[at].max():.1%})" for name, p in shares.items()
    ]
    lost = ((before == labels) & (after != labels)).sum()
    gained = ((before != labels) & (after == labels)).sum()
    return (
        f"Image {at + 1} is of class {classes[labels[at]]}; {', '.join(says)}.<br>Of all "
        f"{len(labels):,} images {(before != after).sum():,} get another class than from float: "
        f"{lost:,} lost, {gained:,} gained."
    )


def image_picture(task: Task, at: int, shares: Mapping[str, np.ndarray]) -> Figure:
    """The image, and its most probable classes by each of `shares` (probabilities by name)."""
    plot.use_style()
    canvas, (left, right) = subplots(ncols=2, figsize=(8.4, 3.2))
    left.set_axis_off()
    left.imshow(task.test.images[at], interpolation="none")
    table = pd.DataFrame({name: p[at] for name, p in shares.items()}, list(task.test.classes))
    true = task.test.classes[task.test.labels[at]]
    table = table.loc[table.max(axis=1).nlargest(SHOWN).index][::-1]
    table.rename({true: f"{true} (true)"}).plot.barh(
        ax=right, color=plot.PALETTE[:4:3], width=0.8, xlim=(0, 1), xlabel="probability"
    )
    for label in right.get_yticklabels():
        label.set_parse_math(False)
    right.grid(axis="y", visible=False)
    return canvas


def samples(task: Task, parent: Answer, answers: Mapping[Point, Answer]):
    """A point of this run and an image to choose; the image, and what float and the point say.

    Images come in the order of `by_disagreement`. A box (`live.follow`) whose children are point,
    image (its place in that order), text, picture.
    """
    before = parent.probabilities["tflite"]
    there = [p for p, a in answers.items() if "tflite" in a.probabilities]  # not if it diverged
    names = [f"{p.variant}{f', seed {p.seed}' if p.seed else ''}" for p in there]

    def show(point: Point | None, place: int) -> tuple[str, Figure]:
        if point is None:
            raise QlabError("Every training of this run diverged: there are no answers to look at.")
        after = answers[point].probabilities["tflite"]
        at = int(by_disagreement(before, after)[place - 1])
        shares = {"float": before, names[there.index(point)]: after}
        return about_image(task, at, shares), image_picture(task, at, shares)

    most = Point("qat", "last", max((p.k for p in answers), default=0), 4)
    first = [most, *(p for p in there if p.method != "tuned"), *there]
    start = next((p for p in first if p in there), None)
    controls = [
        live.choice(list(zip(names, there, strict=True)), "variant", start),
        live.counter(1, len(task.test.labels), "image, other class first"),
    ]
    return live.follow(show, controls)
