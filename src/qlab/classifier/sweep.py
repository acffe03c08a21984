"""Which points notebook 03 runs, and points back from records, as the formulas take them."""

from collections.abc import Sequence

import pandas as pd

from qlab.classifier import formulas as qat_formulas
from qlab.classifier import partial_qat
from qlab.classifier.data import Task
from qlab.classifier.formulas import Fit
from qlab.classifier.points import Bench, Point
from qlab.core import disk, paths, records

EXPERIMENT = "resnet_qat"  # in the records
PARENT = "fp32"  # the float variant
LONG = "mini-long"  # where the embedded model's long sweep lies
POINTS = 100  # percentage points of a share


def sweep_points(task: Task, bench: Bench) -> list[Point]:
    """The points of the sweep that the task asks for; QlabError where they do not fit the disk."""
    count = len(bench.layers)
    seeds = task.chosen["seeds"]
    if task.chosen["sweep"] == "long":
        points = long_sweep(count, seeds) + part_points(bench.layers, seeds)
    else:
        few = [] if task.profile == "smoke" else part_points(bench.layers, 1)
        points = short_sweep(count, task) + few
    made = disk.used(paths.build() / "artefacts" / "qat_point")
    disk.refuse(
        max(0, len(points) * point_bytes(task, bench) - made),
        f"A {task.chosen['sweep']} sweep of {len(points)} points of {task.model}",
        "Take fewer seeds or the short sweep",
    )
    return points


def point_bytes(task: Task, bench: Bench) -> int:
    """Bytes that a point keeps at most: a float file, and float32 probabilities of four graphs."""
    return 4 * bench.model.count_params() + 4 * 4 * len(task.test) * len(task.test.classes)


def part_points(layers: Sequence[str], seeds: int) -> list[Point]:
    """All attention matrices of a transformer and all feed-forward ones; none of other networks."""
    sizes = {kind: len(partial_qat.part(layers, kind)) for kind in partial_qat.PARTS}
    places = [
        (kind, size, bits) for kind, size in sizes.items() if size for bits in partial_qat.BITS
    ]
    trained = [Point("qat", *place, seed) for seed in range(seeds) for place in places]
    return [*(Point("ptq", *place) for place in places), *trained]


def short_sweep(layers: int, task: Task) -> list[Point]:
    """A few points: controls, and all layers; more of a model without a long sweep."""
    tuned, whole = Point("tuned"), Point("qat", "last", layers)
    if task.profile == "smoke":
        return [tuned, Point("ptq", "last", layers), Point("qat", "last", 1)]
    few = sorted({1, *(round(layers * part / 4) for part in (1, 2, 3, 4))} - {0})
    ptq = [Point("ptq", "last", k, bits) for bits in partial_qat.BITS for k in few]
    if long_table(task) is not None:
        return [tuned, *ptq, whole, Point("qat", "last", layers, 4)]
    places = [("last", k) for k in few] + [("first", k) for k in few if k < layers]
    return [tuned, *ptq, *(Point("qat", *p, bits) for bits in partial_qat.BITS for p in places)]


def long_table(task: Task) -> pd.DataFrame | None:
    """Records of the long sweep of the task's model on its data, where there are any.

    The committed one is of all layers, so a task that leaves some float has to sweep by itself.
    """
    own = task.place if task.chosen["sweep"] == "long" else f"{task.place}-long"
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


def long_sweep(layers: int, seeds: int) -> list[Point]:
    """Every k from either end and each layer alone, 8 and 4 bits, several seeds; hours.

    The first layer alone is `first1`, the last alone `last1`, all layers are `last{layers}`. Seeds
    come in turn, so that an interrupted sweep has the first of them whole.
    """
    places = [("last", k) for k in range(1, layers + 1)]
    places += [("first", k) for k in range(1, layers)]
    places += [("only", k) for k in range(2, layers)]
    ptq = [Point("ptq", *p, bits) for p in places for bits in partial_qat.BITS]
    whole = ("last", layers)
    trained = [
        point
        for seed in range(seeds)
        for point in (
            Point("tuned", seed=seed),
            *(Point("qat", *p, bits, seed) for bits in partial_qat.BITS for p in places),
            *(Point("qatcold", *whole, bits, seed) for bits in partial_qat.BITS),
        )
    ]
    return ptq + trained


def same_settings(whole: pd.DataFrame, here: pd.DataFrame) -> bool:
    """Whether two tables of records train as many steps and judge by as many images."""
    tables = (whole, here)
    images = {int(records.pick(t, "accuracy", variant=PARENT)["n"].iloc[0]) for t in tables}
    steps = {n for t in tables for n in records.pick(t, "train_steps")["value"]}
    return len(images) == len(steps) == 1


def formulas(points: pd.DataFrame, layers: int) -> dict[tuple[str, int], tuple[Fit, Fit]]:
    """Loss over k / N and size over the share of weights, fitted to QAT, by where and bits.

    Series with fewer values of k than a formula needs are left out.
    """
    found = {}
    for (where, bits), one in both_ends(points).query("method == 'qat'").groupby(["where", "bits"]):
        if where != "only" and one["k"].nunique() >= qat_formulas.FEWEST:
            found[where, bits] = (
                qat_formulas.loss_formula(one, layers),
                qat_formulas.size_formula(one, layers),
            )
    return found


def both_ends(points: pd.DataFrame) -> pd.DataFrame:
    """Points with what both series share: all layers are the last N and the first N."""
    whole = points["k"].max()
    shared = points[(points["where"] == "last") & (points["k"] == whole)]
    return pd.concat([points, shared.assign(where="first")], ignore_index=True)


def float_bytes(table: pd.DataFrame) -> float:
    """Size of the float32 file."""
    return float(records.pick(table, "size_bytes", variant=PARENT)["value"].iloc[0])


def timed_variants(bench: Bench) -> list[str]:
    """Variants whose inference is timed: all layers in 8 bits."""
    whole = len(bench.layers)
    return [Point(method, "last", whole).variant for method in ("ptq", "qat")]
