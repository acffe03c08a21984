"""Plans keep their bounds, or say that nothing does and what comes closest."""

import pytest
import qat_world
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.classifier import planner
from qlab.classifier.formulas import loss_formula, size_formula
from qlab.classifier.planner import Formulas, describe, plan
from qlab.core.errors import QlabError

N = 10
LAYERS = qat_world.parameters(N).astype(int).tolist()


def formulas(where: str, slope: float, bits: int = 8) -> Formulas:
    points = qat_world.curve(lambda x: slope * x, N, where=where, bits=bits, noise=5e-4)
    return Formulas(where, bits, loss_formula(points, N), size_formula(points, N))


FIRST, LAST = formulas("first", 0.05), formulas("last", 0.02)
BOTH = [FIRST, LAST]


def truth(found: planner.Plan) -> float:
    share = planner.shares(LAYERS, found.where)[found.k]
    return qat_world.FLOAT_BYTES - qat_world.SAVED_BYTES * share


@settings(max_examples=25, deadline=None)
@given(budget=st.floats(5e4, 4e5), bound=st.floats(-0.01, 0.06), sure=st.booleans())
def test_a_plan_keeps_both_bounds_or_says_that_it_does_not(budget, bound, sure):
    found = plan(BOTH, LAYERS, budget, bound, sure)
    loss, size = (e.high if sure else e.value for e in (found.loss, found.size))
    assert found.feasible == (size <= budget and loss <= bound)
    if found.feasible:
        assert truth(found) <= budget + 1
    assert describe(found).startswith("For" if found.feasible else "Nothing measured gives")


def test_a_feasible_plan_is_the_best_of_all():
    table = planner.options(BOTH, LAYERS)
    found = plan(BOTH, LAYERS, max_bytes=200_000)
    assert found.loss.value == table[table["size"] <= 200_000]["loss"].min()
    assert found.where == "last"  # holds more parameters for each layer, and costs less
    found = plan(BOTH, LAYERS, max_loss=0.01)
    assert found.size.value == table[table["loss"] <= 0.01]["size"].min()


def test_a_budget_of_the_float_model_needs_no_quantization():
    found = plan([LAST], LAYERS, max_bytes=400_000)
    assert found.k == 0 and "quantize nothing (k = 0)" in describe(found)


def test_the_closest_is_said():
    small = plan([LAST], LAYERS, max_bytes=50_000)
    assert not small.feasible and small.k == N
    assert "Nothing measured gives at most 50.0 KB. Closest: quantize the last 10 of 10" in (
        describe(small)
    )
    tight = plan([LAST], LAYERS, max_bytes=200_000, max_loss=-0.5)
    assert not tight.feasible and tight.size.value <= 200_000
    assert tight.k == plan([LAST], LAYERS, max_bytes=200_000).k
    assert plan([LAST], LAYERS, max_loss=-0.5).k == 0


def test_only_measured_k_are_offered():
    points = qat_world.curve(lambda x: 0.02 * x, N, [2, 3, 5, 7], noise=5e-4)
    part = Formulas("last", 8, loss_formula(points, N), size_formula(points, N))
    assert planner.options([part], LAYERS)["k"].tolist() == [2, 3, 4, 5, 6, 7]


def test_shares_start_at_the_right_end():
    assert planner.shares([1, 2, 7], "first").tolist() == [0, 0.1, 0.3, 1]
    assert planner.shares([1, 2, 7], "last").tolist() == [0, 0.7, 0.9, 1]


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(QlabError, match="needs a bound"):
        plan(BOTH, LAYERS)


@pytest.fixture(scope="module")
def box():
    return planner.widget(BOTH, LAYERS)


def test_moving_a_slider_redraws_text_and_picture(box):
    curve, budget, bound, sure, text, image = box.children
    before, drawn = text.value, bytes(image.value)
    assert drawn.startswith(b"\x89PNG")
    budget.value = budget.min + 0.25 * (budget.max - budget.min)
    assert text.value != before and bytes(image.value) != drawn
    assert text.value == describe(plan(BOTH, LAYERS, 1e3 * budget.value, bound.value / 100))
    curve.value = FIRST.name
    assert "first" in text.value
    bound.value = bound.min
    assert text.value.startswith("Nothing measured gives")
    sure.value = True
    assert "upper ends" in text.value
