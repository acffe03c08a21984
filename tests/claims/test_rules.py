"""How a rule judges: laws of verdicts, and each kind of rule on records whose truth is known."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy import stats

from qlab.claims.address import NotTested
from qlab.claims.claims import Rule
from qlab.claims.verdicts import HOLDS, NOT, UNDECIDED, Term, decide
from qlab.core import records
from qlab.core.errors import QlabError
from qlab.core.records import Record
from qlab.core.stats import Estimate, geometric_mean


def term(value, low, high, above=-math.inf, below=math.inf) -> Term:
    return Term("t", Estimate(value, low, high, 9), low=above, high=below)


def record(variant, metric, value, low=None, high=None, **more) -> Record:
    about = {"experiment": "e", "model": "m", "dataset": "d", "unit": "1", "n": 100, **more}
    numbers = {"metric": metric, "value": value, "ci_low": low, "ci_high": high}
    return Record(variant=variant, **numbers, **about)


def rule_of(**rule):
    return TypeAdapter(Rule).validate_python({"kind": "value", "above": 0} | rule)


def test_an_interval_decides_only_as_a_whole():
    ends = [(1.1, 1.5), (0.9, 1.5), (1.0, 1.2), (0.5, 0.9), (1.0, 1.0)]
    found = [term((low + high) / 2, low, high, above=1).verdict() for low, high in ends]
    assert found == [HOLDS, UNDECIDED, UNDECIDED, NOT, NOT]
    # 0 lies inside of both intervals; only the narrow one keeps the margin: no difference seen
    # is no equivalence.
    assert term(0, -0.03, 0.03, -0.01, 0.01).verdict() == UNDECIDED
    assert term(0, -0.003, 0.003, -0.01, 0.01).verdict() == HOLDS


@given(
    st.floats(-3, 3), st.floats(0.01, 2), st.floats(0.01, 2),
    st.sampled_from([(-math.inf, 0.5), (-0.5, math.inf), (-1.0, 1.0)]),
)  # fmt: skip
def test_the_verdict_is_the_intervals_widened_for_the_number_of_tests(value, below, above, bounds):
    one = term(value, value - below, value + above, *bounds)
    for tests in (1, 3):
        wider = stats.norm.ppf(1 - 0.025 / tests) / stats.norm.ppf(0.975)
        low, high = value - wider * below, value + wider * above
        inside, outside = bounds[0] < low and high < bounds[1], high < bounds[0] or bounds[1] < low
        if min(abs(end - b) for end in (low, high) for b in bounds) > 1e-6:
            assert one.verdict(tests) == (HOLDS if inside else NOT if outside else UNDECIDED)


def test_p_of_the_normal_distribution():
    def at(value):
        return term(value, value - 1.959964, value + 1.959964, above=0)

    assert at(1).p == pytest.approx(0.3173, abs=1e-4)
    assert at(-3).p == pytest.approx(0.0027, abs=1e-4)
    assert term(1, 1, 1, above=0).p is None
    # A time's interval is Student's, in logarithms, here of five processes: p by scipy's t test.
    logs = np.log([1.2, 1.5, 1.9, 2.2, 1.4])
    time = Term("t", geometric_mean(np.exp(logs)), "x", clock=True, low=1)
    assert time.p == pytest.approx(stats.ttest_1samp(logs, 0).pvalue, rel=1e-5)
    three = [at(2), at(3), at(4)]
    assert decide(three).p == pytest.approx(0.0455, abs=1e-4)  # the weakest of all
    assert decide([at(-4), *three]).p == pytest.approx(4 * 6.334e-5, rel=1e-3)  # one of four looks


numbers = st.floats(-10, 10)


@given(st.lists(st.tuples(numbers, st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=6))
def test_any_is_the_opposite_of_all_and_one_more_term_makes_no_claim_true(rows):
    """Some term above 0 fails just where all are below 0, and the reverse (de Morgan)."""
    ends = [(v, v - a, v + b) for v, a, b in rows]
    above, below = ([term(*e, **side) for e in ends] for side in ({"above": 0}, {"below": 0}))
    flipped = {HOLDS: NOT, NOT: HOLDS, UNDECIDED: UNDECIDED}
    if 0 not in {x for e in ends for x in e}:
        assert decide(above, "any").verdict == flipped[decide(below).verdict]
    if len(above) > 1 and decide(above[:-1]).verdict != HOLDS:
        assert decide(above).verdict != HOLDS


def test_noise_alone_seldom_refutes_however_many_terms():
    seen, fine = term(-1, -1.9, -0.1, above=0), term(1, 0.5, 1.5, above=0)
    assert decide([seen])[0] == NOT and decide([seen] + 11 * [fine])[0] == UNDECIDED
    clear = term(-1, -1.6, -0.4, above=0)  # by 3.3 standard errors; Bonferroni of 12 asks for 2.9
    assert decide([clear] + 11 * [fine])[0] == NOT


def test_the_smallest_effect_is_seen_four_times_in_five():
    effect = term(0, -1.96, 1.96).smallest_effect  # of a standard error of 1
    assert stats.norm.sf(1.96 - effect) == pytest.approx(0.8, abs=0.001)
    assert term(2, 2, 2).smallest_effect is None


ABOUT = {"method": "q", "bits": 8, "where": "last"}
ROWS = records.as_table([
    record("fp32", "size_bytes", 400.0, unit="byte", n=1),
    record("fp16", "size_bytes", 204.0, unit="byte", n=1),
    record("fp16", "speed", 12.0, 9.0, 15.0, clock=True), record("fp32", "speed", 4.0, 3.0, 5.0),
    record("fp32", "loss", -0.1, -0.3, 0.1),
    *(record("fp32", m, v, v - 0.01, v + 0.01)
      for m, v in {"big": 0.9, "mid": 0.7, "low": 0.71}.items()),
    record("q", "acc", 0.9, 0.8, 0.95), record("q", "acc", 0.1, 0.0, 0.2, model="twin"),
    record("q", "acc", 0.5, 0.4, 0.6, condition="noise", strength=3),
    record("q", "acc", 0.7, 0.6, 0.8, condition="noise", strength=1),
    *(record("s", "t", v, v - 0.1, v + 0.1, seed=s) for s, v in enumerate((1.0, 2.0, 3.0))),
    *(record("o", "d_difference", v, v - 0.1, v + 0.1, seed=s)
      for s, v in ((0, -0.02), (1, -0.04))),
    record("o", "d_difference_over_seeds", -0.03, -0.05, -0.01, n=2),
    record("all", "belief", 0.81, part="f1", model="six", n=1),
    record("all", "belief", 0.4, part="f1", model="six", n=1, condition="reading_a"),
    *(record(f"x_{w}{k}", "share", v, where=w, k=k)
      for w, k, v in (("last", 10, 1.0), ("last", 5, 0.7), ("first", 5, 0.3))),
    *(record(f"q{k}", "up", v, k=k, **ABOUT) for k, v in enumerate((1, 2, 4, 8, 16, 32), 1)),
    *(record(f"q{k}", "down", -k, k=k, **ABOUT) for k in range(1, 9)),
    *(record(f"q{k}", "wild", v, k=k, **ABOUT)
      for k, v in enumerate((1, 5, 2, 6, 1.5, 5.5, 2.5, 3), 1)),
    *(record(f"p{k}", "up", -k, k=k, **ABOUT | {"bits": 4}) for k in range(1, 9)),
])  # fmt: skip
RATIO = {"kind": "ratio", "variant": "fp16", "over": {"variant": "fp32"}}
STEPS = {"kind": "difference", "variant": "fp32", "minus": "next"}
NOISE = {"metric": "acc", "variant": "q", "condition": "noise", "strength": 3}
PUBLISHED = {"kind": "published", "model": "six", "variant": "all", "part": "f1", "tolerance": 0.02}
TREND = {"kind": "trend", **ABOUT, "above": 0}


@pytest.mark.parametrize(
    ("bound", "half", "twice"),
    [
        ({"between": [0.45, 0.55]}, [0.475, 0.525], [0.4, 0.6]),
        ({"above": 1.8, "nominal": 2}, [1.9, math.inf], [1.6, math.inf]),
        ({"below": 0.1, "nominal": 0}, [-math.inf, 0.05], [-math.inf, 0.2]),
        ({"above": 0}, [0, math.inf], [0, math.inf]),  # nothing says how wide
        (PUBLISHED | {"values": {"belief": 0.8}}, [0.79, 0.81], [0.76, 0.84]),
    ],
)
def test_bounds_half_and_twice_as_wide(bound, half, twice):
    given = {"kind": "value", "metric": "low", "variant": "fp32"} | bound
    rule = TypeAdapter(Rule).validate_python(given)
    for factor, wanted in ((0.5, half), (2, twice)):
        [term] = rule.scaled(rule.terms(ROWS), factor)
        assert [term.low, term.high] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("rule", "verdict", "value"),
    [
        (RATIO | {"metric": "size_bytes", "exact": True, "between": [0.45, 0.55]}, HOLDS, 0.51),
        (RATIO | {"metric": "speed", "between": [1.79, 5.01]}, HOLDS, 3),  # from 9/5 to 15/3
        (RATIO | {"metric": "speed", "above": 1.81}, UNDECIDED, 3),
        (RATIO | {"metric": "speed", "below": 4.99}, UNDECIDED, 3),
        (STEPS | {"metric": ["big", "mid"], "between": [0.179, 0.221]}, HOLDS, 0.2),
        (STEPS | {"metric": ["big", "mid"], "above": 0.181}, UNDECIDED, 0.2),
        (STEPS | {"metric": ["big", "mid"], "below": 0.219}, UNDECIDED, 0.2),
        (STEPS | {"metric": ["big", "mid", "low"], "above": 0}, UNDECIDED, -0.01),
        (STEPS | {"metric": ["low", "big"], "above": 0}, NOT, -0.19),
        (STEPS | {"metric": "big", "minus": {"metric": ["mid", "low"]}, "above": 0}, HOLDS, 0.19),
        ({"metric": "acc", "variant": "q", "above": 0}, HOLDS, 0.9),
        ({"metric": "acc", "variant": "q", "model": "twin", "above": 0}, UNDECIDED, 0.1),
        (NOISE | {"above": 0}, HOLDS, 0.5),
        (NOISE | {"kind": "difference", "minus": {"condition": None, "strength": None},
                  "below": 0}, HOLDS, -0.4),
        ({"metric": "t", "variant": "s", "above": 0.8}, HOLDS, 2),  # seeds: from 0.9 to 3.1
        ({"metric": "t", "variant": "s", "above": 1}, UNDECIDED, 2),
        ({"metric": "d_difference", "variant": "o", "below": 0}, HOLDS, -0.03),  # over seeds
        ({"kind": "difference", "metric": "share", "variant": "x_lastN", "exact": True,
          "minus": {"variant": ["x_lastHalf", "x_firstHalf"]}, "above": 0}, HOLDS, 0.3),
        ({"metric": "speed", "variant": ["fp16", "int8"], "recorded": True, "above": 1}, HOLDS, 12),
        (PUBLISHED | {"values": {"belief": 0.83}}, HOLDS, 0.81),
        (PUBLISHED | {"values": {"belief": 0.8301}}, NOT, 0.81),
        (TREND | {"metric": "up"}, HOLDS, 1), (TREND | {"metric": "down"}, NOT, -1),
        (TREND | {"metric": "wild"}, UNDECIDED, 0.29),
    ],
)  # fmt: skip
def test_each_kind_of_rule_on_records_whose_truth_is_known(rule, verdict, value):
    made = TypeAdapter(Rule).validate_python({"kind": "value"} | rule)
    found, deciding, _ = decide(made.terms(ROWS), made.quantifier)
    assert (found, deciding.estimate.value) == (verdict, pytest.approx(value, abs=0.01))


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"metric": "speed", "variant": "int8"}, "There is no record of speed of int8 on d"),
        ({"metric": "speed", "variant": ["a", "b"], "recorded": True}, "of any of its variants"),
        ({"metric": "size_bytes", "variant": "fp16"}, "was recorded without an interval"),
        (RATIO | {"metric": "loss", "variant": "fp32"}, "loss of fp32 may be 0"),
        (TREND | {"metric": "speed", "variant": "fp16"}, "takes 5 values of k; .* have 0"),
        (NOISE | {"strength": None}, "several records of acc of q on noise; name part, k or"),
    ],
)
def test_what_is_not_there_is_not_tested(rule, told):
    with pytest.raises(QlabError, match=told):
        rule_of(**rule).terms(ROWS)


def test_a_clock_is_told_on():
    rule = {"metric": "speed", "variant": ["fp16", "fp32"]}
    assert [t.clock for t in rule_of(**rule).terms(ROWS)] == [True, False]
    turned = RATIO | {"metric": "speed", "variant": "fp32", "over": {"variant": "fp16"}}
    assert rule_of(**turned).terms(ROWS)[0].clock


COUNTS = pd.DataFrame(
    {"variant": list("aaabbb"), "kind": ["word", "bit", "dot"] * 2, "count": [90, 6, 4, 10, 60, 30]}
)


def test_shares_of_a_figures_counts():
    def judged(**rule):
        return decide(rule_of(figure="f", **rule).terms(COUNTS))

    rule = {"kind": "share", "above": 0.5, "where": {"kind": ["bit", "dot"]}}
    verdict, found, _ = judged(**rule, variant="b")
    assert verdict == HOLDS and found.estimate.value == 0.9 and found.estimate.n == 100
    assert judged(**rule, variant=["a", "b"]).verdict == NOT
    with pytest.raises(NotTested, match="figure f does not show c"):
        judged(**rule, variant="c")
    for count, verdict in ((60, HOLDS), (61, NOT)):  # rows of a figure
        where = {"kind": "bit", "count": count}
        assert judged(kind="count", where=where).verdict == verdict
