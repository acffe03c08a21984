"""The explore section of notebook 03: any point of the sweep, and images where points differ."""

import html
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from qlab.classifier import plots as draw
from qlab.classifier.data import Task
from qlab.classifier.partial_qat import BITS
from qlab.classifier.points import Answer, Point
from qlab.classifier.sweep import POINTS, both_ends, float_bytes
from qlab.core import live, plot, records
from qlab.core.errors import QlabError
from qlab.core.places import each_alone, points_table

PLACES = {**{label: where for where, label in draw.SIDES.items()}, "layer k alone": "only"}
AXES = {"change": "accuracy minus float's\n(points{more})", "kilobytes": "size (10³ bytes)",
        "step": "training step,\nratio to float's"}  # fmt: skip
SHOWN = 5  # classes of an image


def swept(table: pd.DataFrame, layers: int) -> pd.DataFrame:
    """Every point of the sweep, from either end and each layer alone, by seed.

    Columns of `points_table` with change (of accuracy, in points), kilobytes, and step (training
    time over float's; NaN for PTQ).
    """
    points, keys = points_table(table), ["method", "bits", "where", "k", "seed"]
    ratios = records.pick(table, "train_step_ratio", method="qat").rename(columns={"value": "step"})
    # Those of fresh processes have no seed: they are of every one.
    keys = keys if ratios["seed"].notna().all() else keys[:-1]
    ratios = ratios.astype(dict.fromkeys(keys[1:2] + keys[3:], int))
    points = points.merge(ratios[[*keys, "step"]], how="left", on=keys)
    points["change"], points["kilobytes"] = -points["loss"] * POINTS, points["size_bytes"] / 1e3
    ends = both_ends(points)
    return pd.concat([ends[ends["where"] != "only"], each_alone(points, layers)])


def sentence(points: pd.DataFrame, k: int, float_kilobytes: float) -> str:
    """What each method costs and brings at k, a line a method; points of one place and width."""
    here = points[points["k"] == k]
    if here.empty:
        there = ", ".join(map(str, sorted(set(points["k"])))) or "none"
        return f"k = {k} was not measured; measured are {there}."
    lines = []
    for method, one in here.groupby("method"):
        kilobytes = one["kilobytes"].mean()
        told = f"accuracy {_spread(one['change'], '+.2f')} points against float"
        if len(one) == 1:  # no range over seeds, but an interval
            half = 1.959964 * POINTS * one["loss_se"].iloc[0]
            low, high = (one["change"].iloc[0] + end for end in (-half, half))
            told += f", 95 % interval [{low:+.2f}, {high:+.2f}]"
        told += f"; {kilobytes:,.1f} KB ({kilobytes / float_kilobytes:.0%} of float's)"
        if one["step"].notna().any():
            told += f"; a training step {_spread(one['step'], '.2f')} times float's"
        lines.append(f"<b>{method.upper()}</b>: {told}.")
    return "<br>".join(lines)


def _spread(values: pd.Series, form: str) -> str:
    told = f"{values.mean():{form}}"
    more = f" ({values.min():{form}} to {values.max():{form}} of {len(values)} seeds)"
    return told + more if len(values) > 1 else told


def picture(points: pd.DataFrame, where: str, bits: int, k: int, layers: int) -> Figure:
    """Accuracy, size and time of a step over k by method, the chosen k as a dashed line."""
    plot.use_style()
    canvas, axes = subplots(ncols=3, figsize=(10.4, 3.6))
    methods = [m for m in ("ptq", "qat") if m in set(points["method"])]
    for axis, (column, label) in zip(axes, AXES.items(), strict=True):
        drawn = draw.over_seeds(points.dropna(subset=[column]), column)
        for method in methods:
            draw.series(axis, drawn, method, bits, where, "" if where == "only" else "-")
        axis.axvline(k, color="#000000", ls="--", lw=1)
        more = draw.compressed(axis, "y") if column == "change" and len(drawn) else ""
        axis.set_ylabel(label.format(more=more))
        axis.set_xlabel("k, the layer from the input" if where == "only" else "k, layers quantized")
        axis.set_xlim(0.5, layers + 0.5)
    axes[0].axhline(0, color="#000000", lw=1)
    axes[1].set_ylim(bottom=0)
    draw.legend(canvas, [(m, bits) for m in methods])
    return canvas


def sweep(table: pd.DataFrame, layers: int):
    """Place, bits and k to choose; accuracy, size and time of a step there, from the records.

    A box (`live.follow`) whose children are place, bits, k, text, picture.
    """
    points, kilobytes = swept(table, layers), float_bytes(table) / 1e3

    def show(where: str, bits: int, k: int) -> tuple[str, Figure]:
        some = points[(points["where"] == where) & (points["bits"] == bits)]
        return sentence(some, k, kilobytes), picture(some, where, bits, k, layers)

    controls = [
        live.choice(list(PLACES.items()), "quantize"),
        live.choice([(f"{bits} bits", bits) for bits in BITS], "weights"),
        live.counter(layers, layers, "k"),
    ]
    return live.follow(show, controls)


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
