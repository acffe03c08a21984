"""Plans keep their bounds, or say that nothing does and what comes closest."""

import qat_world
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.classifier import planner
from qlab.classifier.formulas import Fits, loss_formulas, size_formula
from qlab.classifier.planner import describe, plan

N = 10
LAYERS = qat_world.parameters(N).astype(int).tolist()


def formulas(where: str, slope: float, ks: list[int] | None = None) -> Fits:
    points = qat_world.curve(lambda x: slope * x, N, ks, where=where, noise=5e-4)
    return {(where, 8): (loss_formulas(points, N)[where], size_formula(points))}


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


def test_the_closest_is_said():
    small = plan(LAST, LAYERS, max_bytes=50_000)
    assert not small.feasible and small.k == N
    closest = "Nothing measured gives at most 50.0 KB. Closest: quantize the last 10 of 10"
    assert closest in describe(small)
    off = 100 * LAST["last", 8][0].left_out
    assert f"on values of k left out the formula was off by {off:.2f} points" in describe(small)
    tight = plan(LAST, LAYERS, max_bytes=200_000, max_loss=-0.5)
    assert not tight.feasible and tight.size.value <= 200_000
    assert tight.k == plan(LAST, LAYERS, max_bytes=200_000).k
    assert plan(LAST, LAYERS, max_loss=-0.5).k == 0
