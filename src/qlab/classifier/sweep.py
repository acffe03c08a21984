"""Which points notebook 03 runs, and what comes back from their records."""

from collections.abc import Collection
from dataclasses import replace
from itertools import product

import pandas as pd

from qlab.classifier.data import Task
from qlab.classifier.formulas import FEWEST, Fits, loss_formulas, size_formula
from qlab.classifier.partial_qat import BITS
from qlab.classifier.points import PARENT, Bench, Point
from qlab.classifier.ptq import ROUNDINGS
from qlab.core import places, records
from qlab.core.errors import QlabError

EXPERIMENT = "resnet_qat"  # in the records
LONG = "mini-long"  # where the embedded model's long sweep lies
POINTS = 100  # percentage points of a share
FEW = 3  # seeds of points that no verdict hangs on
SEEDS = {"short": 3, "long": 5}  # of the others, where the parameter does not say


def sweep_points(task: Task, bench: Bench) -> list[Point]:
    """The points of the sweep that the task asks for."""
    layers, given = len(bench.layers), task.given
    seeds, whole = given.seeds or SEEDS[given.sweep], ("last", layers)
    few = sorted({1, *(round(layers * part / 4) for part in (1, 2, 3, 4))} - {0})
    ptq = [Point("ptq", "last", k, bits) for bits, k in product(BITS, few)]
    if given.sweep == "long":
        found = long_sweep(layers, seeds)
    elif given.profile == "smoke":
        found = [Point("tuned"), Point("ptq", *whole), Point("qat", "last", 1)]
    elif given.profile in ("small", "full"):
        found = real_sweep(layers, seeds)
    elif long_table(task) is not None:
        found = [Point("tuned"), *ptq, *(Point("qat", *whole, bits) for bits in BITS)]
    else:
        ends = [("last", k) for k in few] + [("first", k) for k in few if k < layers]
        found = [Point("tuned"), *ptq, *(Point("qat", *p, bits) for bits, p in product(BITS, ends))]
    return found + raw_points(bench)


def real_sweep(layers: int, seeds: int) -> list[Point]:
    """All layers, and the first and the last k of `some_ends`, 8 and 4 bits, several seeds; hours.

    The largest k, which a formula is tested on, has FEW. All layers at 4 bits are rounded in other
    ways too.
    """
    few, chosen = some_ends(layers)
    ptq = [Point("ptq", *p, bits) for bits, p in product(BITS, chosen)]
    ptq += [Point("ptq", "last", layers, 4, rounding=how) for how in filter(None, ROUNDINGS)]
    qat = [Point("qat", *p, bits) for bits, p in product(BITS, chosen)]
    return ptq + _in_turn([Point("tuned"), *qat], seeds, [p for p in qat if p.k in few[-1:]])


def _in_turn(points: list[Point], seeds: int, seldom: Collection[Point]) -> list[Point]:
    """Points from each seed, all of a seed before the next, so that an interrupted sweep has the
    first seeds whole; of those that no verdict hangs on, FEW."""
    found = [replace(p, seed=seed) for seed, p in product(range(seeds), points)]
    return [p for p in found if p.seed < FEW or replace(p, seed=0) not in seldom]


def some_ends(layers: int) -> tuple[list[int], list[tuple[str, int]]]:
    """Four k, fewer of a small network; and all layers, and these k from either end."""
    few = sorted({1, *(round(layers * part / 4) for part in (1, 2, 3))} - {0, layers})
    return few, [("last", layers), *product(("last", "first"), few)]


def long_sweep(layers: int, seeds: int) -> list[Point]:
    """Every k from either end and each layer alone, 8 and 4 bits, several seeds; hours.

    The first layer alone is `first1`, the last alone `last1`, all layers are `last{layers}`. What
    is not among the points of `real_sweep` has FEW.
    """
    chosen = [("last", k) for k in range(1, layers + 1)]
    chosen += [("first", k) for k in range(1, layers)]
    chosen += [("only", k) for k in range(2, layers)]
    ptq = [Point("ptq", *p, bits) for p, bits in product(chosen, BITS)]
    qat = [Point("qat", *p, bits) for bits, p in product(BITS, chosen)]
    cold = [Point("qatcold", "last", layers, bits) for bits in BITS]
    few, often = some_ends(layers)
    seldom = [p for p in qat if (p.where, p.k) not in often or p.k in few[-1:]]
    return ptq + _in_turn([Point("tuned"), *qat, *cold], seeds, seldom)


def whole_points(bench: Bench) -> list[Point]:
    """All layers in 8 bits, without training and with; inference is timed."""
    return [Point(method, "last", len(bench.layers)) for method in ("ptq", "qat")]


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


def whole_sweep(task: Task, here: pd.DataFrame) -> pd.DataFrame:
    """Records of the long sweep of this model, or, where there is none, of this run."""
    table = long_table(task)
    return here if table is None else table


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
            found[where, bits] = fit, size_formula(whole[whole["where"] == where])
    return found


def both_ends(points: pd.DataFrame) -> pd.DataFrame:
    """Points with what both series share: all layers are the last N and the first N."""
    shared = points[(points["where"] == "last") & (points["k"] == points["k"].max())]
    return pd.concat([points, shared.assign(where="first")], ignore_index=True)


def verdicts(points: pd.DataFrame, layers: int) -> str:
    """First against last layers, a paragraph for each method and bit width."""
    told, series = [], points[points["where"] != "only"]
    whole = pd.concat([series, places.each_alone(points, layers)], ignore_index=True)
    for method, bits in product(("ptq", "qat"), BITS):
        told.append(f"\n{method.upper()}, {bits}-bit weights")
        for judge in (places.by_number, places.by_share, places.by_depth):
            try:
                one = whole[(whole["method"] == method) & (whole["bits"] == bits)]
                told.append(judge(one, layers).sentence)
            except QlabError as error:
                told.append(f"Not judged: {error}")
    return "\n".join(told).strip()


def float_bytes(table: pd.DataFrame) -> float:
    """Size of the float32 file."""
    return float(records.pick(table, "size_bytes", variant=PARENT)["value"].iloc[0])
