"""Dempster's rule: worked examples and laws."""

import math
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.core.errors import QlabError
from qlab.evidence import dempster
from qlab.evidence.intensity import FRAME, SCALE, parse

THETA = FRAME


def support(text: str, belief: float) -> dict:
    return dempster.simple_support(parse(text), belief, FRAME)


def test_two_overlapping_pairs():
    found = dempster.combine([support("PO-SP", 0.65), support("WP-PO", 0.40)])
    assert found.conflict == pytest.approx(0, abs=1e-12)
    assert found.mass == pytest.approx(
        {parse("PO-SP"): 0.39, parse("PO"): 0.26, parse("WP-PO"): 0.14, THETA: 0.21}
    )


def test_a_third_that_contradicts():
    found = dempster.combine([support("PO-SP", 0.65), support("WP-PO", 0.40), support("SP", 0.90)])
    assert found.conflict == pytest.approx(0.36)
    assert found.mass == pytest.approx({
        parse("SP"): 0.84375, parse("PO-SP"): 0.0609375, parse("PO"): 0.040625,
        parse("WP-PO"): 0.021875, THETA: 0.0328125,
    })  # fmt: skip
    assert dempster.belief(found.mass, parse("PO-SP")) == pytest.approx(
        0.84375 + 0.0609375 + 0.040625
    )
    assert dempster.plausibility(found.mass, parse("PO")) == pytest.approx(1 - 0.84375)


def test_zadehs_example():
    a, b, c = (frozenset(x) for x in "ABC")
    found = dempster.combine([{a: 0.99, b: 0.01}, {c: 0.99, b: 0.01}])
    assert found.mass == pytest.approx({b: 1.0}) and found.conflict == pytest.approx(0.9999)


def test_total_conflict_is_an_error():
    with pytest.raises(QlabError, match="contradicts itself totally"):
        dempster.combine([support("SN", 1.0), support("SP", 1.0)])


def test_what_is_no_evidence_is_refused():
    with pytest.raises(QlabError, match="at least one"):
        dempster.combine([])
    with pytest.raises(QlabError, match="between 0 and 1"):
        support("SP", 1.1)
    with pytest.raises(QlabError, match="Evidence is for some of"):
        dempster.simple_support(frozenset(), 0.5, FRAME)


sets = st.sets(st.sampled_from(SCALE), min_size=1).map(frozenset)


@st.composite
def mass_functions(draw):
    """Up to four random focal sets and something on the frame, so that no conflict is total."""
    focal = draw(st.lists(sets, min_size=1, max_size=4, unique=True))
    weights = draw(st.lists(st.floats(0.01, 1), min_size=len(focal) + 1, max_size=len(focal) + 1))
    mass = dict.fromkeys([*focal, THETA], 0.0)
    for answers, weight in zip([*focal, THETA], weights, strict=True):
        mass[answers] += weight / math.fsum(weights)
    return mass


def same(first, second) -> bool:
    keys = set(first) | set(second)
    return all(math.isclose(first.get(k, 0), second.get(k, 0), abs_tol=1e-9) for k in keys)


quick = settings(max_examples=60, deadline=None)


@quick
@given(mass_functions(), mass_functions())
def test_combination_is_commutative_and_masses_sum_to_1(a, b):
    one, other = dempster.combine([a, b]), dempster.combine([b, a])
    assert same(one.mass, other.mass)
    assert math.fsum(one.mass.values()) == pytest.approx(1) and min(one.mass.values()) >= 0
    assert frozenset() not in one.mass and 0 <= one.conflict < 1


@quick
@given(mass_functions(), mass_functions(), mass_functions())
def test_combination_is_associative(a, b, c):
    left = dempster.combine([dempster.combine([a, b]).mass, c]).mass
    right = dempster.combine([a, dempster.combine([b, c]).mass]).mass
    assert same(left, right) and same(left, dempster.combine([a, b, c]).mass)


@quick
@given(mass_functions())
def test_vacuous_evidence_changes_nothing(a):
    found = dempster.combine([a, {THETA: 1.0}])
    assert same(found.mass, a) and found.conflict == pytest.approx(0, abs=1e-9)


@quick
@given(mass_functions(), mass_functions(), mass_functions())
def test_the_conflict_of_all_is_the_product_of_the_steps_in_any_order(a, b, c):
    for order in permutations([a, b, c]):
        first = dempster.combine(order[:2])
        last = dempster.combine([first.mass, order[2]])
        steps = 1 - (1 - first.conflict) * (1 - last.conflict)
        assert dempster.combine(order).conflict == pytest.approx(steps)


@quick
@given(mass_functions(), sets)
def test_belief_is_below_plausibility_and_its_complement(a, answers):
    belief, plausibility = dempster.belief(a, answers), dempster.plausibility(a, answers)
    assert belief <= plausibility + 1e-12
    assert plausibility == pytest.approx(1 - dempster.belief(a, FRAME - answers))


@quick
@given(st.lists(mass_functions(), min_size=2, max_size=5))
def test_last_steps_are_those_of_the_orders(parts):
    found = dempster.last_step_conflicts(parts)
    for i, part in enumerate(parts):
        rest = dempster.combine(parts[:i] + parts[i + 1 :]).mass
        assert found[i] == pytest.approx(dempster.combine([rest, part]).conflict, abs=1e-9)


def test_the_mean_of_pairs_does_not_grow_with_their_number():
    pair = [support("SN", 0.5), support("SP", 0.5)]
    assert dempster.pairwise_conflict(pair) == pytest.approx(0.25)
    assert dempster.pairwise_conflict(pair * 4) == pytest.approx(16 * 0.25 / 28)
    assert dempster.combine(pair * 4).conflict > 0.8
    assert dempster.pairwise_conflict(pair[:1]) == 0 == dempster.last_step_conflicts(pair[:1])[0]
