"""Plans keep their bounds, or say that nothing does and what comes closest."""

import qat_world
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.classifier import planner
from qlab.classifier.formulas import loss_formulas, size_formula
from qlab.classifier.planner import describe, plan

N = 10
LAYERS = qat_world.parameters(N).astype(int).tolist()


def formulas(where: str, slope: float) -> dict:
    points = qat_world.curve(lambda x: slope * x, N, where=where, noise=5e-4)
    return {(where, 8): (loss_formulas(points, N)[where], size_formula(points))}


LAST = formulas("last", 0.02)
BOTH = formulas("first", 0.05) | LAST
TABLE = planner.options(BOTH, LAYERS)


@settings(max_examples=25)
@given(budget=st.floats(5e4, 4e5), bound=st.floats(-0.01, 0.06))
def test_a_plan_keeps_both_bounds_and_loses_least_or_says_that_none_does(budget, bound):
    found = plan(BOTH, LAYERS, budget, bound)
    fits = TABLE[(TABLE["size"] <= budget) & (TABLE["loss"] <= bound)]
    assert found.feasible == (len(fits) > 0)
    if found.feasible:
        assert found.loss == fits["loss"].min()
        size = qat_world.FLOAT_BYTES - qat_world.SAVED_BYTES * found["share"]
        assert size <= budget + 1
    assert describe(found).startswith("For" if found.feasible else "Nothing measured gives")


def test_the_smallest_of_a_bounded_loss_and_the_closest_are_said():
    found = plan(BOTH, LAYERS, max_loss=0.01)
    assert found["size"] == TABLE[TABLE["loss"] <= 0.01]["size"].min()
    small = plan(LAST, LAYERS, max_bytes=50_000)
    assert not small.feasible and small.k == N
    closest = "Nothing measured gives at most 50.0 KB. Closest: quantize the last 10 of 10"
    assert closest in describe(small)
    off = 100 * LAST["last", 8][0].left_out
    assert f"on values of k left out the formula was off by {off:.2f} points" in describe(small)
    tight = plan(LAST, LAYERS, max_bytes=200_000, max_loss=-0.5)
    assert not tight.feasible and tight["size"] <= 200_000
    assert tight.k == plan(LAST, LAYERS, max_bytes=200_000).k
    assert plan(LAST, LAYERS, max_loss=-0.5).k == 0
