"""Which points notebook 03 runs, and what comes back from their records."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd

from qlab.classifier.data import Task
from qlab.classifier.formulas import FEWEST, Fits, loss_formulas, size_line
from qlab.classifier.partial_qat import BITS
from qlab.classifier.points import PARENT, Bench, Point
from qlab.classifier.ptq import ROUNDINGS
from qlab.core import records

EXPERIMENT = "resnet_qat"  # in the records
LONG = "mini-long"  # where the embedded model's long sweep lies
POINTS = 100  # percentage points of a share
FEW = 3  # seeds of points that no verdict hangs on
SEEDS = {"short": 10, "long": 5}  # of the others, where the parameter does not say


def sweep_points(task: Task, bench: Bench) -> list[Point]:
    """The points of the sweep that the task asks for."""
    layers, given = len(bench.layers), task.given
    few, whole = quarters(layers), ("last", layers)
    if given.sweep == "long" or given.profile in ("small", "full"):
        seeds = given.seeds or SEEDS[given.sweep]
        return seeded_sweep(layers, seeds, given.sweep == "long") + raw_points(bench)
    if given.profile == "smoke":
        found = [Point("ptq", *whole), Point("qat", "last", 1)]
    else:
        ends = [("last", k) for k in few] + [("first", k) for k in few if k < layers]
        chosen = ends if long_table(task) is None else [whole]
        found = [Point("ptq", "last", k, bits) for bits, k in product(BITS, few)]
        found += [Point("qat", *place, bits) for bits, place in product(BITS, chosen)]
    return [Point("tuned"), *found, *raw_points(bench)]


def quarters(layers: int) -> list[int]:
    """Values of k: one layer, and each quarter of the layers."""
    return sorted({1, *(round(layers * part / 4) for part in (1, 2, 3, 4))} - {0})


def seeded_sweep(layers: int, seeds: int, long: bool = False) -> list[Point]:
    """8 and 4 bits, from several seeds; hours. All layers, and the first and the last k of
    `quarters`, all layers at 4 bits rounded in other ways too; or, `long`, every k from either end,
    each layer alone, and ranges as tfmot starts them.

    The first layer alone is `first1`, the last alone `last1`, all layers are `last{layers}`. What a
    `long` sweep has beyond, and the largest k, which a formula is tested on, has FEW seeds. All of
    a seed come before the next, so that an interrupted sweep has the first seeds whole.
    """
    few, whole = quarters(layers)[:-1], ("last", layers)
    often = {whole, *product(("last", "first"), few[:-1])}
    chosen = [whole, *product(("last", "first"), range(1, layers) if long else few)]
    chosen += [("only", k) for k in range(2, layers)] if long else []
    ptq, qat = ([Point(m, *p, bits) for bits, p in product(BITS, chosen)] for m in ("ptq", "qat"))
    if long:
        qat += [Point("qatcold", *whole, bits) for bits in BITS]
    else:
        ptq += [Point("ptq", *whole, 4, rounding=how) for how in filter(None, ROUNDINGS)]
    found = [replace(p, seed=s) for s, p in product(range(seeds), [Point("tuned"), *qat])]
    seldom = [p.method == "qat" and (p.where, p.k) not in often for p in found]
    return ptq + [p for p, rare in zip(found, seldom, strict=True) if p.seed < FEW or not rare]


def raw_points(bench: Bench) -> list[Point]:
    """Points of a model with a pooling over all of its input, as TFLite has that: all layers in 8
    bits without training, and the last one with."""
    mended, as_saved = ([type(layer) for layer in b.model.layers] for b in (bench, bench.raw))
    if mended == as_saved:
        return []
    whole = Point("ptq", "last", len(bench.layers), raw=True)
    return [whole, Point("qat", "last", 1, raw=True)]


def long_table(task: Task) -> pd.DataFrame | None:
    """Records of the long sweep of the task's model on its data, where there are any. The committed
    one is of all layers: a task that leaves some float has to sweep by itself."""
    own = task.place if task.given.sweep == "long" else f"{task.place}-long"
    for place in [own] if task.leave_float else [own, LONG]:
        if records.csv_path(EXPERIMENT, place).is_file():
            table = records.read(EXPERIMENT, place)
            if (table["model"].iloc[0], table["dataset"].iloc[0]) == (task.model, task.dataset):
                return table
    return None


def same_settings(whole: pd.DataFrame, here: pd.DataFrame) -> bool:
    """Whether two tables of records train as many steps and judge by as many images."""
    both = pd.concat([whole, here])
    images = records.pick(both, "accuracy", variant=PARENT, condition=None)["n"]
    return images.nunique() == records.pick(both, "train_steps")["value"].nunique() == 1


def formulas(points: pd.DataFrame, layers: int) -> Fits:
    """Loss over k / N and size over the share of weights, fitted to QAT, by where and bits; not of
    bit widths with fewer than FEWEST values of k."""
    found = {}
    trained = points[(points["method"] == "qat") & (points["where"] != "only")]
    for bits, one in trained.groupby("bits"):
        if one["k"].nunique() < FEWEST:
            continue
        whole = both_ends(one)
        for where, fit in loss_formulas(one, layers).items():
            found[where, bits] = fit, size_line(whole[whole["where"] == where])
    return found


def options(formulas: Fits, layers: Sequence[int]) -> pd.DataFrame:
    """Every k that the formulas cover, with its prediction; `layers` are their parameters, from
    the input on.

    Columns where, bits, k, size in bytes, loss, loss_low, loss_high as a share, and left_out (by
    how much the loss's formula was off on k that it had not seen).
    """
    k, found = np.arange(len(layers) + 1), [pd.DataFrame(columns=["size", "loss"])]
    for (where, bits), (loss, line) in formulas.items():
        ordered = layers if where == "first" else layers[::-1]
        share = np.concatenate([[0], np.cumsum(ordered)]) / np.sum(layers)
        table = pd.DataFrame({"where": where, "bits": bits, "k": k})
        table["size"] = line.intercept + line.slope * share
        table["loss"], table["loss_low"], table["loss_high"] = loss.predict(k / len(layers))
        table["left_out"] = loss.left_out
        found.append(table[k / len(layers) <= loss.highest + 1e-9])
    return pd.concat(found[len(found) > 1 :], ignore_index=True)


def both_ends(points: pd.DataFrame) -> pd.DataFrame:
    """Points with what both series share: all layers are the last N and the first N."""
    shared = points[(points["where"] == "last") & (points["k"] == points["k"].max())]
    return pd.concat([points, shared.assign(where="first")], ignore_index=True)
