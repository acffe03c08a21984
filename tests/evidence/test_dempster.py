"""Dempster's rule: worked examples and laws; the scale of seven on which it works."""

import math
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlab.core.errors import QlabError
from qlab.evidence import dempster, intensity
from qlab.evidence.intensity import CUTS, FRAME, SCALE, parse

PLACES = ["IF", "IF-WP", "WP", "WP-PO", "PO", "PO-SP", "SP"]
MIRRORED = ["IF", "WN-IF", "WN", "NE-WN", "NE", "SN-NE", "SN"]


def support(text: str, belief: float) -> dict:
    return {FRAME: 1 - belief, parse(text): belief}


def test_worked_examples():
    """Two overlapping pairs; a third that contradicts; Zadeh's."""
    two = [support("PO-SP", 0.65), support("WP-PO", 0.40)]
    found = dempster.combine(two)
    assert found.conflict == pytest.approx(0, abs=1e-12)
    assert found.mass == pytest.approx(
        {parse("PO-SP"): 0.39, parse("PO"): 0.26, parse("WP-PO"): 0.14, FRAME: 0.21}
    )
    found = dempster.combine([*two, support("SP", 0.90)])
    assert found.conflict == pytest.approx(0.36)
    assert found.mass == pytest.approx({
        parse("SP"): 0.84375, parse("PO-SP"): 0.0609375, parse("PO"): 0.040625,
        parse("WP-PO"): 0.021875, FRAME: 0.0328125,
    })  # fmt: skip
    assert dempster.belief(found.mass, parse("PO-SP")) == pytest.approx(0.9453125)
    assert dempster.plausibility(found.mass, parse("PO")) == pytest.approx(1 - 0.84375)
    a, b, c = (frozenset(x) for x in "ABC")
    found = dempster.combine([{a: 0.99, b: 0.01}, {c: 0.99, b: 0.01}])
    assert found.mass == pytest.approx({b: 1.0}) and found.conflict == pytest.approx(0.9999)


def test_total_contradiction_is_refused():
    with pytest.raises(QlabError, match="itself totally"):
        dempster.combine([support("SN", 1.0), support("SP", 1.0)])


def normalised(weights: dict) -> dict:
    """A mass function of these weights, with something on the frame: no conflict is total."""
    weights = weights | {FRAME: 0.5}
    return {answers: weight / math.fsum(weights.values()) for answers, weight in weights.items()}


sets = st.sets(st.sampled_from(SCALE), min_size=1).map(frozenset)
masses = st.dictionaries(sets, st.floats(0.01, 1), min_size=1, max_size=4).map(normalised)


@given(masses, masses, masses, sets)
def test_laws_of_the_combination(a, b, c, answers):
    combine = dempster.combine
    one = combine([a, b])
    assert one.mass == pytest.approx(combine([b, a]).mass)
    assert math.fsum(one.mass.values()) == pytest.approx(1) and min(one.mass.values()) >= 0
    assert frozenset() not in one.mass and 0 <= one.conflict < 1
    whole = combine([a, b, c])
    for steps in ([a, combine([b, c]).mass], [one.mass, c]):
        assert combine(steps).mass == pytest.approx(whole.mass)
    vacuous = combine([a, {FRAME: 1.0}])
    assert vacuous.mass == pytest.approx(a) and vacuous.conflict == pytest.approx(0, abs=1e-9)
    for order in permutations([a, b, c]):  # the conflict of all is the product of the steps
        first = combine(order[:2])
        last = combine([first.mass, order[2]]).conflict
        assert 1 - (1 - first.conflict) * (1 - last) == pytest.approx(whole.conflict)
        assert min(abs(last - k) for k in dempster.last_step_conflicts([a, b, c])) < 1e-9
    belief, plausibility = dempster.belief(a, answers), dempster.plausibility(a, answers)
    assert belief <= plausibility + 1e-12
    assert plausibility == pytest.approx(1 - dempster.belief(a, FRAME - answers))


def test_the_mean_of_pairs_does_not_grow_with_their_number():
    pair = [support("SN", 0.5), support("SP", 0.5)]
    assert dempster.pairwise_conflict(pair) == pytest.approx(0.25)
    assert dempster.pairwise_conflict(pair * 4) == pytest.approx(16 * 0.25 / 28)
    assert dempster.combine(pair * 4).conflict > 0.8
    assert dempster.pairwise_conflict(pair[:1]) == 0 == dempster.last_step_conflicts(pair[:1])[0]


@pytest.mark.parametrize("kind", CUTS)
def test_upper_bounds_are_inclusive_and_the_sign_gives_the_side(kind):
    for step, cut in enumerate(CUTS[kind]):
        for sign, places in ((1, PLACES), (-1, MIRRORED)):
            on = intensity.from_improvement(sign * cut, CUTS[kind])
            above = intensity.from_improvement(sign * (cut + 0.001), CUTS[kind])
            assert (intensity.label(on), intensity.label(above)) == (places[step], places[step + 1])


def test_the_scale_is_written_and_read():
    for text in [*PLACES, *MIRRORED]:
        assert intensity.label(parse(text)) == text
        assert intensity.between(*intensity.ends(parse(text))) == parse(text)
    assert intensity.ends(parse("NE-WN")) == (-2, -1)
    assert [intensity.side(*e) for e in ((-2, -1), (-1, 0), (0, 0), (0, 1), (3, 3))] == [
        "worse", "worse", "none", "better", "better"]  # fmt: skip
