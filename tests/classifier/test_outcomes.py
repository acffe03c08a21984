"""From the kept rows of every image, every interval on images comes out again, digit for digit."""

import numpy as np
import pandas as pd
import pytest

from qlab.classifier import answers, data, measure, outcomes, points, sweep
from qlab.classifier.points import PARENT
from qlab.core import items, records, stats

KEY = ["variant", "seed", "metric", "condition", "strength"]
VALUES = ["value", "ci_low", "ci_high", "n"]


def again(rows: pd.DataFrame) -> pd.DataFrame:
    """Value, interval and n of every record on images, from the rows alone."""
    rows = rows.astype({"variant": str, "graph": str, "condition": object}).sort_values("image")
    rows["right"] = rows["label"] == rows["predicted"]
    kinds = ["variant", "seed", "graph", "condition", "strength"]
    groups = {
        tuple(None if pd.isna(x) else x for x in key): one
        for key, one in rows.groupby(kinds, dropna=False)
    }
    hits, found = {key: one["right"].to_numpy() for key, one in groups.items()}, []
    several: dict = {}  # of what was trained, seed by seed
    for key, right in hits.items():
        variant, seed, graph, condition, strength = key
        if seed is not None and graph == "tflite":
            several.setdefault((variant, condition, strength), []).append(right)
        plain = graph == "tflite" and condition is None
        judged = {sweep.GRAPHS[graph]: stats.proportion(int(right.sum()), len(right))}
        if plain:
            confidence = groups[key]["confidence"].to_numpy()
            judged["calibration_error"] = answers.calibration_error(confidence, right)
        if graph == "tflite" and variant != PARENT:
            flips = stats.paired(hits[PARENT, None, "tflite", condition, strength], right)
            judged["accuracy_difference"] = flips.difference
            if plain:
                judged["flip_rate"] = flips.rate
        control = hits.get(("fp32_tuned", seed, "tflite", None, None))
        if plain and seed is not None and control is not None and variant != "fp32_tuned":
            judged["accuracy_minus_tuned"] = stats.paired(control, right).difference
        found += [(variant, seed, m, condition, strength, *e) for m, e in judged.items()]
    for (variant, condition, strength), seeds in several.items():
        before = hits[PARENT, None, "tflite", condition, strength]
        e = stats.difference_over_seeds(np.stack(seeds), before[None])
        found.append((variant, None, "accuracy_difference_over_seeds", condition, strength, *e))
    return pd.DataFrame(found, columns=KEY + VALUES).astype({"seed": "Int64", "strength": "Int64"})


def compare(rows: pd.DataFrame, table: pd.DataFrame) -> int:
    """Both agree to the ten digits of a record; returns how many records that were."""
    mine = again(rows)
    judged = table[table["metric"].isin(set(mine["metric"]))]
    both = mine.merge(judged, on=KEY, suffixes=("", "_kept"))
    assert len(both) == len(mine) == len(judged)
    for column in VALUES:
        ours, kept = (both[name].astype(float) for name in (column, f"{column}_kept"))
        np.testing.assert_allclose(ours, kept, rtol=5.1e-10, atol=0)
    return len(both)


@pytest.mark.slow
def test_intervals_come_from_the_kept_rows(home):
    task = data.prepare(data.Parameters(profile="smoke", limit=60))
    bench = points.Bench(task)
    parent = points.parent(bench, 2)
    found = {p: points.answer(p, bench, 2) for p in sweep.sweep_points(task, bench)}
    worse = measure.worse_answers(task, bench, found, 2)
    made = measure.accuracy_records(task, parent, found)
    made += measure.seed_records(task, parent, found) + measure.robustness_records(task, worse)
    records.write(made, task.place, {})
    items.write(sweep.EXPERIMENT, task.place, outcomes.table(task, parent, found, worse))
    rows = items.read(sweep.EXPERIMENT, task.place)
    assert rows["predicted"].dtype == "uint8" and rows["confidence"].dtype == "float32"
    assert compare(rows, records.read(sweep.EXPERIMENT, task.place)) > 60


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["mini", "small"])
def test_the_committed_intervals_come_from_the_committed_rows(profile):
    rows = items.read(sweep.EXPERIMENT, profile)
    assert compare(rows, records.read(sweep.EXPERIMENT, profile)) > 200
