"""Which points notebook 03 runs, how they become records, and what is computed from these."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import linregress

from qlab.classifier.data import Task
from qlab.classifier.export import ROUNDINGS
from qlab.classifier.formulas import FEWEST, Fits, loss_formulas
from qlab.classifier.model import pools_all
from qlab.classifier.partial_qat import BITS
from qlab.classifier.points import PARENT, Answer, Bench, Point
from qlab.core import records
from qlab.core.records import Record, Recorder
from qlab.core.stats import Estimate

EXPERIMENT = "resnet_qat"  # in the records
LONG = "mini-long"  # place of the embedded model's long sweep
POINTS = 100  # percentage points in a share of 1
FEW = 3  # seeds of points on which no verdict depends
SEEDS = {"short": 10, "long": 5}  # of the others, unless the parameter says otherwise

# The graphs that are tested, and their metrics.
GRAPHS = dict(tflite="accuracy", float="accuracy_float_graph", fake_quant="accuracy_fake_quant")
RECORD = Recorder(EXPERIMENT, records.metrics(__file__) | records.COMPARED)
Answers = Mapping[Point, Answer]  # what each point gives
Worse = dict[tuple[str, int], dict[Point, np.ndarray]]  # condition, strength -> probabilities


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
    """Points with 8 and 4 bits from several seeds; they take hours. They have all layers, the first
    and the last k of `quarters`, and all layers at 4 bits in other roundings; or, if `long`, every
    k from either end, each layer alone, and QAT from tfmot's initial ranges.

    The first layer alone is `first1`, the last alone `last1`, all layers are `last{layers}`. QAT of
    the k that only a `long` sweep has, and of the largest k, which a formula is tested on, has FEW
    seeds. One seed comes whole before the next, so an interrupted sweep has all of the first ones.
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
    return ptq + [p for p in found if p.method != "qat" or p.seed < FEW or (p.where, p.k) in often]


def raw_points(bench: Bench) -> list[Point]:
    """Points that show a pooling over its whole input as TFLite has it, if there is one: all layers
    at 8 bits without training, and the last layer with training."""
    whole = Point("ptq", "last", len(bench.layers), raw=True)
    pooled = any(map(pools_all, bench.raw.model.layers))
    return [whole, Point("qat", "last", 1, raw=True)] if pooled else []


def recorded(task, point: Point, found: Mapping, seeded: bool = True, **more) -> list[Record]:
    """Record each metric in `found`: an Estimate with its interval, a number without one.

    The records have the point's columns, with its seed if `seeded`, and `more` columns.
    """
    about = (point.drawn if seeded else point.columns) | more
    return [
        RECORD.estimated(task, point.variant, metric, e, **about)
        if isinstance(e, Estimate)
        else RECORD.counted(task, point.variant, metric, e, **about)
        for metric, e in found.items()
    ]


def long_table(task: Task) -> pd.DataFrame | None:
    """Records of the long sweep of the task's model on its data, if there are any. The committed
    sweep has all layers: a task that leaves some float needs a sweep of its own."""
    own = task.place if task.given.sweep == "long" else f"{task.place}-long"
    for place in [own] if task.leave_float else [own, LONG]:
        if records.csv_path(EXPERIMENT, place).is_file():
            table = records.read(EXPERIMENT, place)
            if (table["model"].iloc[0], table["dataset"].iloc[0]) == (task.model, task.dataset):
                return table
    return None


def same_settings(whole: pd.DataFrame, here: pd.DataFrame) -> bool:
    """Whether two tables of records have the same number of training steps and of test images."""
    both = pd.concat([whole, here])
    images = records.pick(both, "accuracy", variant=PARENT, condition=None)["n"]
    return images.nunique() == records.pick(both, "train_steps")["value"].nunique() == 1


def formulas(points: pd.DataFrame, layers: int) -> Fits:
    """Fit QAT's loss over k / N and size over the share of weights, by where and bits; not for bit
    widths with fewer than FEWEST values of k. Size is a line except for the channels' scales."""
    found = {}
    trained = points[(points["method"] == "qat") & (points["where"] != "only")]
    for bits, one in trained.groupby("bits"):
        if one["k"].nunique() < FEWEST:
            continue
        whole = both_ends(one).drop_duplicates(["where", "k"])
        for where, fit in loss_formulas(one, layers).items():
            end = whole[whole["where"] == where]
            sizes = end["share"].to_numpy(float), end["size_bytes"].to_numpy(float)
            found[where, bits] = fit, linregress(*sizes)
    return found


def options(formulas: Fits, layers: Sequence[int]) -> pd.DataFrame:
    """Every k that the formulas cover, with its prediction; `layers` has the number of parameters
    of each layer, from the input on.

    Columns where, bits, k, size in bytes, loss, loss_low, loss_high as a share, and left_out (the
    root mean square of the loss formula's errors on values of k left out of its fit).
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
    """Points, with all layers in both series: they are the last N as well as the first N."""
    shared = points[(points["where"] == "last") & (points["k"] == points["k"].max())]
    return pd.concat([points, shared.assign(where="first")], ignore_index=True)
