"""Formulas find the truth of made-up sweeps, and say when there is none to find."""

from types import SimpleNamespace as Given

import committed
import numpy as np
import pandas as pd
import pytest
import qat_world
import shown
from test_prose import DEEP, TINY

from qlab.classifier import formulas, measure, places, sweep
from qlab.core import records

FEW = [1, 2, 4, 7, 10]  # of 10 layers


def both(last, first, layers=10, ks=None, noise=0.003, seed=0) -> pd.DataFrame:
    """A sweep from both ends; all layers are among the last ones alone."""
    ks = ks or list(range(1, layers + 1))
    some = [k for k in ks if k < layers]
    one = qat_world.curve(last, layers, ks, noise, 2 * seed)
    return pd.concat([one, qat_world.curve(first, layers, some, noise, 2 * seed + 1, "first")])


def test_intervals_hold_the_truth_and_new_models_about_95_times_in_100(monkeypatch):
    monkeypatch.setattr(formulas, "DRAWS", 200)
    repeats, rng = 60, np.random.default_rng(1)
    hits = dict.fromkeys(["b", "c_last", "c_first", "new"], 0)
    for seed in range(repeats):
        points = both(lambda x: 0.03 * x**2, lambda x: 0.03 * x**0.5, ks=FEW, seed=seed)
        found = formulas.loss_formulas(points, 10, formulas.POWER)
        for end, c in (("last", 2.0), ("first", 0.5)):
            shape = found[end].coefficients["c"]
            hits[f"c_{end}"] += shape.low <= c <= shape.high
        b = found["last"].coefficients["b"]
        hits["b"] += b.low <= 0.03 <= b.high
        assert b == found["first"].coefficients["b"]
        value, low, high = found["last"].predict(0.55)
        hits["new"] += low[0] <= 0.03 * 0.55**2 + 0.003 * rng.standard_normal() <= high[0]
    assert all(0.88 * repeats <= count <= repeats for count in hits.values()), hits


@pytest.mark.parametrize(
    ("name", "last", "first"),
    [
        ("proportional", lambda x: 0.02 * x, lambda x: 0.02 * x),
        ("power", lambda x: 0.02 * x**3, lambda x: 0.02 * x**0.3),
        ("exponential", lambda x: 0.03 * np.expm1(6 * x) / np.expm1(6),
         lambda x: 0.03 * np.expm1(-6 * x) / np.expm1(-6)),
        ("none", lambda x: 0.0, lambda x: 0.0),
    ],
)  # fmt: skip
def test_cross_validation_finds_the_form_that_made_the_points(name, last, first):
    noise = 2e-3 if name == "none" else 2e-4
    found = formulas.loss_formulas(both(last, first, 20, noise=noise), 20)
    assert [fit.name for fit in found.values()] == [name, name]
    values = [float(fit.predict(1.0)[0][0]) for fit in found.values()]
    assert values[0] == values[1] == pytest.approx(last(1.0), abs=1e-3)
    assert [fit.predict(0.0)[0][0] for fit in found.values()] == [0, 0]
    assert all(fit.left_out < 3 * noise for fit in found.values())


def test_a_curve_that_misses_is_said_and_one_that_fits_is_not():
    def lack(points):
        return formulas.loss_formulas(points, 20, formulas.PROPORTIONAL)["last"].lack

    hill = qat_world.curve(lambda x: 0.03 * np.sin(3 * x) ** 2, 20, noise=1e-3)
    assert lack(hill[hill["k"] > 0]) < 1e-6
    lines = (qat_world.curve(lambda x: 0.03 * x, 20, noise=1e-3, seed=seed) for seed in range(40))
    lacks = list(map(lack, lines))
    assert 0.3 < np.mean(lacks) < 0.7 and np.mean(np.array(lacks) < 0.05) <= 0.15


def test_points_without_flips_do_not_outweigh_all_others():
    points = qat_world.curve(lambda x: 0.02 * x)
    points.loc[0, "loss_se"] = 0.0
    weights = formulas.loss_data(points, 20).sigma ** -2.0
    assert weights.max() <= 4 * weights.mean() * 1.1


@pytest.mark.parametrize(("place", "layers"), [("small", 22), (TINY, 10), (DEEP, 34)])
def test_the_committed_formulas_come_from_the_committed_points(place, layers):
    """In cells of the notebook: how a formula fits, and predicts what it has not seen."""
    table = committed.table(sweep.EXPERIMENT, place)
    points = places.points_table(table)
    scope = {"places": Given(points_table=lambda _: points), "count": layers, "found": []}
    scope |= {"task": Given(model=table["model"].iloc[0], dataset=table["dataset"].iloc[0])}
    scope |= {"qat_sweep": sweep, "measure": measure, "records": records, "pd": pd}
    found = shown.run("03_", "def held_out", "found += measure.formula_records", **scope).found
    made = records.check(records.as_table(found), "test")
    both = made.merge(table, on=records.KEY, suffixes=("", "_kept"))
    assert len(both) == len(made) == table["metric"].str.startswith("formula_").sum() > 0
    for column in ("value", "ci_low", "ci_high", "n"):
        np.testing.assert_allclose(both[column], both[f"{column}_kept"], rtol=1e-5)
