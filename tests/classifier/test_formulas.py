"""Formulas find the truth of made-up sweeps, and say when there is none to find."""

import numpy as np
import pytest
import qat_world
from scipy.optimize import curve_fit

from qlab.classifier import formulas
from qlab.core.errors import QlabError

FEW = [0, 1, 2, 4, 7, 10]  # of 10 layers


def data(truth, seed, noise=0.003):
    points = qat_world.curve(truth, 10, FEW, noise, seed)
    return formulas.loss_data(points, 10)


@pytest.mark.parametrize(
    ("form", "truth", "coefficients"),
    [
        (formulas.LINEAR, lambda x: 0.005 + 0.02 * x, {"a": 0.005, "b": 0.02}),
        (formulas.POWER, lambda x: 0.03 * x**2, {"b": 0.03, "c": 2.0}),
    ],
)
def test_intervals_hold_the_truth_and_new_models_about_95_times_in_100(
    form, truth, coefficients, monkeypatch
):
    monkeypatch.setattr(formulas, "DRAWS", 200)
    hits, predicted, repeats = dict.fromkeys(coefficients, 0), 0, 60
    rng = np.random.default_rng(1)
    for seed in range(repeats):
        found, at = formulas.fitted(form, data(truth, seed), seed)
        for name, value in coefficients.items():
            hits[name] += found[name].low <= value <= found[name].high
        value, error = at(np.array([0.55]))
        new = truth(0.55) + 0.003 * rng.standard_normal()
        predicted += abs(new - value[0]) <= formulas.Z * error[0]
    for count in [*hits.values(), predicted]:
        assert 0.88 * repeats <= count <= repeats, (hits, predicted)


def test_the_grid_finds_what_scipy_finds():
    points = data(lambda x: 0.03 * x**1.7, seed=3, noise=0.001)
    found, _ = formulas.fitted(formulas.POWER, points)
    theirs, _ = curve_fit(lambda x, b, c: b * x**c, points.x, points.y, [0.02, 1], points.sigma)
    assert found["b"].value == pytest.approx(theirs[0], rel=0.01)
    assert found["c"].value == pytest.approx(theirs[1], rel=0.03)  # the grid's step


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("proportional", lambda x: 0.02 * x),
        ("linear", lambda x: 0.02 - 0.03 * x),
        ("exponential", lambda x: 0.03 * np.expm1(6 * x) / np.expm1(6)),
        ("saturating", lambda x: 0.03 * (1 - np.exp(-5 * x))),
        ("offset power", lambda x: -0.02 + 0.05 * x**3),
        ("constant", lambda x: 0.01),
    ],
)
def test_cross_validation_finds_the_form_that_made_the_points(name, truth):
    assert formulas.loss_formula(qat_world.curve(truth, noise=2e-4), 20).name == name


def test_without_an_effect_the_constant_wins_and_the_text_says_so():
    chosen = [
        formulas.loss_formula(qat_world.curve(lambda x: 0.004, 10, seed=s, noise=0.004), 10)
        for s in range(8)
    ]
    constant = [f.formula for f in chosen if f.name == "constant"]
    assert len(constant) >= 7 and any("cannot tell the slope from zero" in f for f in constant)
    steep = formulas.loss_formula(qat_world.curve(lambda x: 0.02 * x), 20).formula
    assert "cannot" not in steep and steep.startswith("loss = 2.0") and "pp × (k/20)" in steep


def test_whole_values_of_k_are_left_out():
    """Each k has its own level, its seeds agree: only a fold that splits them sees a pattern."""
    levels = np.random.default_rng(0).normal(0.03, 0.01, 11)
    points = qat_world.curve(lambda x: levels[round(10 * x)], 10, noise=1e-5)
    table = formulas.cross_validated(formulas.loss_data(points, 10), formulas.LOSS_FORMS)
    assert (1e-5 * np.sqrt(table["cv_error"]) > 0.005).all()  # errors are counted in loss_se
    assert table.loc[table["chosen"], "form"].tolist() == ["constant"]


def test_a_form_too_rich_for_a_fold_does_not_run():
    four = qat_world.curve(lambda x: 0.02 * x, 10, [0, 3, 7, 10])
    data = formulas.loss_data(four, 10)
    tried = formulas.cross_validated(data, formulas.LOSS_FORMS)
    assert tried["parameters"].max() == 2
    assert np.isfinite(formulas.loss_formula(four, 10).predict(0.5)).all()


def test_the_size_follows_the_share_exactly():
    fit = formulas.size_formula(qat_world.curve(lambda x: 0))
    assert fit.name == "linear" and fit.r2 == pytest.approx(1)
    assert fit.coefficients["a"].value == pytest.approx(qat_world.FLOAT_BYTES)
    assert fit.coefficients["b"].value == pytest.approx(-qat_world.SAVED_BYTES)
    value, low, high = fit.predict(0.5)
    assert value == pytest.approx(208_000) and high - low < 1
    assert "318.0 [318.0, 318.0] KB + (-220.0 [-220.0, -220.0] KB) × share" in fit.formula


def test_points_without_flips_do_not_outweigh_all_others():
    points = qat_world.curve(lambda x: 0.02 * x)
    points.loc[0, "loss_se"] = 0.0
    weights = formulas.loss_data(points, 20).sigma ** -2.0
    assert weights.max() <= 4 * weights.mean() * 1.1
    exact = points.assign(loss_se=0.0, loss=0.02 * points["k"] / 20)
    assert formulas.loss_formula(exact, 20).coefficients["b"].value == pytest.approx(0.02)


GOOD = qat_world.curve(lambda x: 0.02 * x, 10)


@pytest.mark.parametrize(
    ("points", "layers", "sentence"),
    [
        (GOOD[GOOD["k"] < 3], 10, r"at least 4 values of k; found 3 \(0, 1, 2\)"),
        (GOOD.assign(bits=[4, 8, 8] * 11), 10, r"found \[\('last', 4\), \('last', 8\)\]"),
        (GOOD.assign(loss=np.nan), 10, "has a number missing"),
    ],
)
def test_points_that_make_no_formula_are_refused(points, layers, sentence):
    with pytest.raises(QlabError, match=sentence):
        formulas.loss_formula(points, layers)
