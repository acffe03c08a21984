"""The explore section of notebook 03: images where a point answers otherwise than float."""

import html
from collections.abc import Mapping

import ipywidgets
import numpy as np
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from qlab.classifier.data import Task
from qlab.classifier.points import Answer, Point
from qlab.core import live, plot


def samples(task: Task, parent: Answer, answers: Mapping[Point, Answer]):
    """A point of this run and an image to choose; the image, and what float and the point say.

    Images of another class come first, then by how far the probabilities moved. A box
    (`live.follow`) whose children are point, image (its place in that order), text, picture.
    """
    before, labels = parent.probabilities["tflite"], task.test.labels
    classes = [html.escape(name, quote=False) for name in task.test.classes]
    there = {
        f"{p.variant}{f', seed {p.seed}' if p.seed else ''}": a.probabilities["tflite"]
        for p, a in answers.items()
        if "tflite" in a.probabilities  # not if it diverged
    }

    def show(name: str, place: int) -> tuple[str, Figure]:
        after = there[name]
        old, new = before.argmax(1), after.argmax(1)
        at = np.lexsort((-np.abs(before - after).sum(1), old == new))[place - 1]
        says = [
            f"{who} says {classes[p[at].argmax()]} ({p[at].max():.1%})"
            for who, p in (("float", before), (name, after))
        ]
        lost, gained = ((a == labels) & (b != labels) for a, b in ((old, new), (new, old)))
        text = (
            f"Image {at + 1} is of class {classes[labels[at]]}; {', '.join(says)}.<br>Of all "
            f"{len(labels):,} images {(old != new).sum():,} get another class than from float: "
            f"{lost.sum():,} lost, {gained.sum():,} gained."
        )
        plot.use_style()
        canvas, axis = subplots(figsize=(3, 3))
        axis.imshow(task.test.images[at], cmap="gray", interpolation="none")
        axis.set_axis_off()
        return text, canvas

    most = max(there, key=lambda name: (there[name].argmax(1) != before.argmax(1)).sum())
    controls = [
        ipywidgets.Dropdown(options=list(there), value=most, description="variant"),
        ipywidgets.IntSlider(1, 1, len(labels), description="image, other class first"),
    ]
    return live.follow(show, controls)
