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
    points = points_table(table)
    keys = ["method", "bits", "where", "k", "seed"]
    ratios = records.pick(table, "train_step_ratio", method="qat")
    ratios = ratios.rename(columns={"value": "step"}).astype(
        dict.fromkeys(keys[3:], int) | {"bits": int}
    )
    points = points.merge(ratios[[*keys, "step"]], how="left", on=keys)
    points["change"], points["kilobytes"] = -points["loss"] * POINTS, points["size_bytes"] / 1e3
    ends = both_ends(points)
    return pd.concat([ends[ends["where"] != "only"], each_alone(points, layers)])


def chosen(points: pd.DataFrame, where: str, bits: int) -> pd.DataFrame:
    """The points of one place and bit width; QlabError says which there are, if none is."""
    found = points[(points["where"] == where) & (points["bits"] == bits)]
    if found.empty:
        labels = {where: label for label, where in PLACES.items()}
        there = points[["where", "bits"]].drop_duplicates().itertuples(index=False)
        told = "; ".join(f"{labels[p]}, {b} bits" for p, b in there) or "none"
        raise QlabError(f"This sweep has no point of that kind. There are: {told}.")
    return found


def sentence(points: pd.DataFrame, k: int, float_kilobytes: float) -> str:
    """What each method costs and brings at k, a line a method; `points` as `chosen` gives them."""
    here = points[points["k"] == k]
    if here.empty:
        return f"k = {k} was not measured; measured are {', '.join(_measured(points))}."
    lines = []
    for method, one in here.groupby("method"):
        kilobytes = one["kilobytes"].mean()
        told = [
            f"accuracy {_change(one)} points against float",
            f"{kilobytes:,.1f} KB ({kilobytes / float_kilobytes:.0%} of float's)",
        ]
        if one["step"].notna().any():
            told.append(f"a training step {_spread(one['step'], '.2f')} times float's")
        lines.append(f"<b>{method.upper()}</b>: {'; '.join(told)}.")
    return "<br>".join(lines)


def _measured(points: pd.DataFrame) -> list[str]:
    return [str(k) for k in sorted(set(points["k"]))]


def _change(one: pd.DataFrame) -> str:
    """Of several seeds their range, of a single one its 95 % interval."""
    if len(one) > 1:
        return _spread(one["change"], "+.2f")
    value, half = one["change"].iloc[0], 1.959964 * POINTS * one["loss_se"].iloc[0]
    return f"{value:+.2f} [{value - half:+.2f}, {value + half:+.2f}]"


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
        axis.xaxis.get_major_locator().set_params(integer=True)
        if drawn.empty:
            axis.text(0.5, 0.5, "not measured", ha="center", transform=axis.transAxes)
            axis.set_yticks([])
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
        some = chosen(points, where, bits)
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


def about_image(task: Task, at: int, name: str, before: np.ndarray, after: np.ndarray) -> str:
    """What float and a variant say to one image, and how often they differ on all."""
    labels = task.test.labels
    classes = [html.escape(name, quote=False) for name in task.test.classes]
    pair = (before, after)
    answers = [p.argmax(axis=1) for p in pair]
    told = [f"{classes[a[at]]} ({p[at].max():.1%})" for a, p in zip(answers, pair, strict=True)]
    right = [a == labels for a in answers]
    return (
        f"Image {at + 1} is of class {classes[labels[at]]}; float says {told[0]}, "
        f"{name} {told[1]}.<br>Of all {len(labels):,} images "
        f"{(answers[0] != answers[1]).sum():,} get another class than from float: "
        f"{(right[0] & ~right[1]).sum():,} lost, {(right[1] & ~right[0]).sum():,} gained."
    )


def image_picture(task: Task, at: int, shares: Mapping[str, np.ndarray]) -> Figure:
    """The image, and the most probable classes by each of `shares` (probabilities by name)."""
    plot.use_style()
    layout = {"figsize": (8.4, 3.2), "gridspec_kw": {"width_ratios": [1, 1.6]}}
    canvas, (left, right) = subplots(ncols=2, **layout)
    left.set_axis_off()
    left.imshow(task.test.images[at], interpolation="none")
    order = np.argsort(-np.max(list(shares.values()), axis=0), kind="stable")[:SHOWN]
    height = 0.8 / len(shares)
    for i, (name, one) in enumerate(shares.items()):
        places = np.arange(len(order)) + (i - (len(shares) - 1) / 2) * height
        bars = right.barh(places, one[order], height, color=plot.PALETTE[3 * i], label=name)
        right.bar_label(bars, [f"{p:.1%}" for p in one[order]], padding=3, fontsize=8)
    true = task.test.labels[at]
    names = [f"{task.test.classes[c]}{' (true)' if c == true else ''}" for c in order]
    right.set_yticks(range(len(order)), names, parse_math=False)
    right.set(xlim=(0, 1.15), xticks=[0, 0.5, 1], xlabel="probability")
    right.invert_yaxis()
    right.grid(axis="y", visible=False)
    canvas.legend(loc="outside lower center", ncols=2, frameon=False)
    return canvas


def samples(task: Task, parent: Answer, answers: Mapping[Point, Answer]):
    """A point of this run and an image to choose; the image, and what float and the point say.

    Images come in the order of `by_disagreement`. A box (`live.follow`) whose children are point,
    image (its place in that order), text, picture.
    """
    before = parent.probabilities["tflite"]
    there = [p for p, a in answers.items() if "tflite" in a.probabilities]  # not if it diverged
    points = {f"{p.variant}{f', seed {p.seed}' if p.seed else ''}": p for p in there}
    after = {name: answers[p].probabilities["tflite"] for name, p in points.items()}

    def show(name: str | None, place: int) -> tuple[str, Figure]:
        if name is None:
            raise QlabError("Every training of this run diverged: there are no answers to look at.")
        at = int(by_disagreement(before, after[name])[place - 1])
        shares = {"float": before[at], name: after[name][at]}
        told = about_image(task, at, name, before, after[name])
        return told, image_picture(task, at, shares)

    most = Point("qat", "last", max((p.k for p in answers), default=0), 4).variant
    quantized = [name for name, p in points.items() if p.method != "tuned"]
    start = most if most in points else next(iter(quantized), None)
    controls = [
        live.choice(list(after), "variant", start),
        live.counter(1, len(task.test.labels), "image, other class first"),
    ]
    return live.follow(show, controls)
