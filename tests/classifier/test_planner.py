"""Plans keep their bounds, or say that nothing does and what comes closest."""

import pytest
import qat_world
from explored import moves, stands_still
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.classifier import planner
from qlab.classifier.formulas import Fits, loss_formula, size_formula
from qlab.classifier.planner import describe, plan
from qlab.core.errors import QlabError

N = 10
LAYERS = qat_world.parameters(N).astype(int).tolist()


def formulas(where: str, slope: float, ks: list[int] | None = None) -> Fits:
    points = qat_world.curve(lambda x: slope * x, N, ks, where=where, noise=5e-4)
    return {(where, 8): (loss_formula(points, N), size_formula(points))}


LAST = formulas("last", 0.02)
BOTH = formulas("first", 0.05) | LAST


@settings(max_examples=25)
@given(budget=st.floats(5e4, 4e5), bound=st.floats(-0.01, 0.06), sure=st.booleans())
def test_a_plan_keeps_both_bounds_or_says_that_it_does_not(budget, bound, sure):
    found = plan(BOTH, LAYERS, budget, bound, sure)
    loss, size = (e.high if sure else e.value for e in (found.loss, found.size))
    assert found.feasible == (size <= budget and loss <= bound)
    if found.feasible:
        share = planner.shares(LAYERS, found.where)[found.k]
        assert qat_world.FLOAT_BYTES - qat_world.SAVED_BYTES * share <= budget + 1
    assert describe(found).startswith("For" if found.feasible else "Nothing measured gives")


def test_a_feasible_plan_is_the_best_of_all():
    table = planner.options(BOTH, LAYERS)
    found = plan(BOTH, LAYERS, max_bytes=200_000)
    assert found.loss.value == table[table["size"] <= 200_000]["loss"].min()
    assert found.where == "last"  # holds more parameters for each layer, and costs less
    found = plan(BOTH, LAYERS, max_loss=0.01)
    assert found.size.value == table[table["loss"] <= 0.01]["size"].min()


def test_a_budget_of_the_float_model_needs_no_quantization():
    found = plan(LAST, LAYERS, max_bytes=400_000)
    assert found.k == 0 and "quantize nothing (k = 0)" in describe(found)


def test_the_closest_is_said():
    small = plan(LAST, LAYERS, max_bytes=50_000)
    assert not small.feasible and small.k == N
    closest = "Nothing measured gives at most 50.0 KB. Closest: quantize the last 10 of 10"
    assert closest in describe(small)
    tight = plan(LAST, LAYERS, max_bytes=200_000, max_loss=-0.5)
    assert not tight.feasible and tight.size.value <= 200_000
    assert tight.k == plan(LAST, LAYERS, max_bytes=200_000).k
    assert plan(LAST, LAYERS, max_loss=-0.5).k == 0


def test_only_measured_k_are_offered():
    part = formulas("last", 0.02, [2, 3, 5, 7])
    assert planner.options(part, LAYERS)["k"].tolist() == [2, 3, 4, 5, 6, 7]


def test_shares_start_at_the_right_end():
    assert planner.shares([1, 2, 7], "first").tolist() == [0, 0.1, 0.3, 1]
    assert planner.shares([1, 2, 7], "last").tolist() == [0, 0.7, 0.9, 1]


def test_a_plan_without_a_bound_is_refused():
    with pytest.raises(QlabError, match="needs a bound"):
        plan(BOTH, LAYERS)


def test_the_box_says_what_the_plan_says():
    box = planner.widget(BOTH, LAYERS)
    curve, budget, bound, sure, text, _ = box.children
    moves(box, {
        "quantize": list(LAST), "KB at most": 150.0, "points at most": 1.0, sure.description: True,
    })  # fmt: skip
    asked = 1e3 * budget.value, bound.value / 100, sure.value
    assert text.value == describe(plan({key: BOTH[key] for key in curve.value}, LAYERS, *asked))
    stands_still(box)
