"""How a rule judges: laws of verdicts, and each kind of rule on records whose truth is known."""

import math

import numpy as np
import pandas as pd
import pytest
import qat_world
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from qlab.claims.address import NotTested
from qlab.claims.claims import Rule
from qlab.claims.verdicts import HOLDS, NOT, UNDECIDED, Term, decide
from qlab.core import records
from qlab.core.errors import QlabError
from qlab.core.records import Record
from qlab.core.stats import Estimate


def term(value, low, high, above=-math.inf, below=math.inf) -> Term:
    return Term("t", Estimate(value, low, high, 9), above, below, "plain")


def record(variant, metric, value, low=None, high=None, **more) -> Record:
    more = {"model": "m", "dataset": "d", "unit": "1", "n": 100} | more
    return Record("e", more.pop("model"), more.pop("dataset"), variant, metric, value,
                  more.pop("unit"), low, high, **more)  # fmt: skip


def table(*rows: Record) -> pd.DataFrame:
    sized = record("fp32", "size_bytes", 400.0, unit="byte", n=1)
    return records.check(records.as_table([sized, *rows]), "here")


def terms_of(rule: dict, rows: pd.DataFrame) -> list[Term]:
    return TypeAdapter(Rule).validate_python(rule).terms(rows)


def judged(rule: dict, rows: pd.DataFrame) -> tuple[str, Term]:
    return decide(terms_of(rule, rows), rule.get("quantifier", "all"))[:2]


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
def test_p_is_under_a_twentieth_just_where_the_interval_decides(value, below, above, bounds):
    one = term(value, value - below, value + above, *bounds)
    clear = min(abs(end - b) for end in one.estimate[1:3] for b in bounds) > 1e-6
    if clear:
        assert (one.p < 0.05) == (one.verdict() != UNDECIDED)


def test_p_of_the_normal_distribution():
    assert term(1.0, 1 - 1.959964, 1 + 1.959964, above=0).p == pytest.approx(0.3173, abs=1e-4)
    assert term(-3, -3 - 1.959964, -3 + 1.959964, above=0).p == pytest.approx(0.0027, abs=1e-4)
    assert term(1, 1, 1, above=0).p is None
    three = [term(v, v - 1.959964, v + 1.959964, above=0) for v in (2.0, 3.0, 4.0)]
    assert decide(three).p == pytest.approx(0.0455, abs=1e-4)  # the weakest of all
    refuted = decide([term(-4, -4 - 1.959964, -4 + 1.959964, above=0), *three])
    assert refuted.p == pytest.approx(4 * 6.334e-5, rel=1e-3)  # one of four looks


def test_bounds_half_and_twice_as_wide():
    rule = {"kind": "value", "metric": "m", "variant": "v"}
    for bound, half, twice in (
        ({"between": [0.45, 0.55]}, {"between": [0.475, 0.525]}, {"between": [0.4, 0.6]}),
        ({"above": 1.8, "nominal": 2}, {"above": 1.9}, {"above": 1.6}),
        ({"below": 0.1, "nominal": 0}, {"below": 0.05}, {"below": 0.2}),
    ):
        made = TypeAdapter(Rule).validate_python(rule | bound)
        for factor, wanted in ((0.5, half), (2, twice)):
            found = made.scaled(factor).model_dump()
            assert {k: found[k] for k in wanted} == {k: pytest.approx(v) for k, v in wanted.items()}
    plain = TypeAdapter(Rule).validate_python(rule | {"above": 0})
    assert plain.scaled(2) == plain  # nothing says how wide


def test_variants_that_a_tier_lacks_can_be_left_out():
    rule = {"kind": "value", "metric": "speed", "variant": ["fp16", "int8"], "above": 1}
    with pytest.raises(NotTested, match="no record of speed of int8"):
        terms_of(rule, SIZES)
    assert len(terms_of(rule | {"recorded": True}, SIZES)) == 1
    with pytest.raises(NotTested, match="no record of speed of any of its variants"):
        terms_of(rule | {"recorded": True, "variant": ["a", "b"]}, SIZES)


numbers = st.floats(-10, 10)


@given(st.lists(st.tuples(numbers, st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=6))
def test_any_of_the_claim_is_the_opposite_of_all_of_its_contrary(rows):
    """Some term above 0 fails just where all are below 0, and the reverse (de Morgan)."""
    ends = [(v, v - a, v + b) for v, a, b in rows]
    some = decide([term(*e, above=0) for e in ends], "any").verdict
    none = decide([term(*e, below=0) for e in ends], "all").verdict
    flipped = {HOLDS: NOT, NOT: HOLDS, UNDECIDED: UNDECIDED}
    if 0 not in {x for e in ends for x in e}:
        assert some == flipped[none]


@given(st.lists(st.tuples(numbers, st.floats(0, 5)), min_size=1, max_size=6))
def test_one_more_term_never_makes_a_claim_true(rows):
    terms = [term(v, v - w, v + w, above=0) for v, w in rows]
    if decide(terms)[0] == HOLDS:
        assert all(decide(terms[:n])[0] == HOLDS for n in range(1, len(terms) + 1))
    if len(terms) > 1 and decide(terms[:-1])[0] == UNDECIDED:
        assert decide(terms)[0] != HOLDS


def test_many_looks_are_allowed_for():
    """One of twelve conditions just below 0 refutes alone, not as one of twelve."""
    seen, fine = term(-1, -1.9, -0.1, above=0), term(1, 0.5, 1.5, above=0)
    assert decide([seen])[0] == NOT
    assert decide([seen] + 11 * [fine])[0] == UNDECIDED
    assert decide([term(-1, -1.2, -0.8, above=0)] + 11 * [fine])[0] == NOT


def test_noise_alone_seldom_refutes_however_many_terms():
    rng = np.random.default_rng(0)
    means = rng.normal(0.0, 1.0, (1000, 12))  # the truth lies on the bound: the worst case
    wrong = [decide([term(m, m - 1.96, m + 1.96, above=0) for m in row])[0] == NOT for row in means]
    assert np.mean(wrong) < 0.045  # 0.025 in the mean, 0.26 without allowance


def test_the_smallest_effect_is_seen_four_times_in_five():
    rng = np.random.default_rng(1)
    effect = term(0, -1.96, 1.96).smallest_effect
    means = rng.normal(effect, 1, 4000)
    seen = [term(m, m - 1.96, m + 1.96, above=0).verdict() == HOLDS for m in means]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.02)
    assert term(2, 2, 2).smallest_effect is None


SIZES = table(
    record("fp16", "size_bytes", 204.0, unit="byte", n=1),
    record("fp16", "speed", 12.0, 9.0, 15.0),
    record("fp32", "speed", 4.0, 3.0, 5.0),
)


def test_a_ratio_of_counted_figures():
    rule = {"kind": "ratio", "metric": "size_bytes", "variant": "fp16", "over": {"variant": "fp32"}}
    verdict, found = judged(rule | {"exact": True, "between": [0.45, 0.55]}, SIZES)
    assert verdict == HOLDS and found.estimate == (0.51, 0.51, 0.51, 1)


def test_the_interval_of_a_ratio_is_the_widest():
    rule = {"kind": "ratio", "metric": "speed", "variant": "fp16", "over": {"variant": "fp32"}}
    verdict, found = judged(rule | {"above": 2}, SIZES)
    assert verdict == UNDECIDED and found.estimate == (3.0, 9 / 5, 15 / 3, 100)
    assert judged(rule | {"above": 1.7}, SIZES)[0] == HOLDS


def test_a_ratio_to_what_may_be_0_is_not_tested():
    rows = table(record("a", "loss", -1.0, -2.0, -0.5), record("b", "loss", -0.1, -0.3, 0.1))
    rule = {"kind": "ratio", "metric": "loss", "variant": "a", "over": {"variant": "b"}, "below": 1}
    with pytest.raises(NotTested, match="loss of b may be 0"):
        terms_of(rule, rows)


def test_widest_intervals_cover_independent_estimates():
    """What ratios and differences promise: at least 95 %."""
    drawn = np.random.default_rng(2).normal((10, 7), 1, (300, 2))
    rows = table(
        *(record(f"{v}{i}", "s", x, x - 1.96, x + 1.96)
          for i, pair in enumerate(drawn) for v, x in zip("ab", pair, strict=True))
    )  # fmt: skip
    for kind, other, truth in (("difference", "minus", 3), ("ratio", "over", 10 / 7)):
        ends = []
        for i in range(len(drawn)):
            rule = {"kind": kind, "metric": "s", "variant": f"a{i}", other: {"variant": f"b{i}"}}
            ends += [t.estimate for t in terms_of(rule | {"above": 0}, rows)]
        assert np.mean([e.low < truth < e.high for e in ends]) > 0.95


STEPS = {"big": 0.9, "mid": 0.7, "low": 0.71}
AP = table(*(record("fp32", m, v, v - 0.01, v + 0.01) for m, v in STEPS.items()))


def test_a_falling_list_fails_at_its_weakest_step():
    rule = {"kind": "difference", "metric": ["big", "mid"], "variant": "fp32", "minus": "next"}
    rule |= {"above": 0}
    assert judged(rule, AP)[0] == HOLDS
    verdict, found = judged(rule | {"metric": ["big", "mid", "low"]}, AP)
    assert verdict == UNDECIDED and found.name == "mid of fp32 minus low of fp32"
    assert judged(rule | {"metric": ["low", "big"]}, AP)[0] == NOT


def test_one_metric_minus_several():
    rule = {"kind": "difference", "metric": "big", "variant": "fp32", "above": 0}
    found = terms_of(rule | {"minus": {"metric": ["mid", "low"]}}, AP)
    assert [round(t.estimate.value, 9) for t in found] == [0.2, 0.19]


def test_seeds_are_taken_together_however_many():
    rows = [record("q", "acc", v, v - 0.1, v + 0.1, seed=s) for s, v in enumerate((1.0, 2.0, 3.0))]
    rule = {"kind": "value", "metric": "acc", "variant": "q", "above": 0.8}
    for n, low, high, mean in ((1, 0.9, 1.1, 1.0), (2, 0.9, 2.1, 1.5), (3, 0.9, 3.1, 2.0)):
        verdict, found = judged(rule, table(*rows[:n]))
        assert verdict == HOLDS and found.estimate == pytest.approx((mean, low, high, 100))
    assert judged(rule | {"above": 1.5}, table(*rows))[0] == UNDECIDED


def test_a_record_over_seeds_is_taken_where_there_is_one():
    each = [record("v", "accuracy_difference", x, x - 0.1, x + 0.1, seed=i)
            for i, x in enumerate((-0.02, -0.04))]  # fmt: skip
    over = record("v", "accuracy_difference_over_seeds", -0.03, -0.05, -0.01, n=2)
    rule = {"kind": "value", "metric": "accuracy_difference", "variant": "v", "below": 0}
    assert judged(rule, table(*each))[0] == UNDECIDED
    verdict, found = judged(rule, table(*each, over))
    assert verdict == HOLDS and found.estimate == (-0.03, -0.05, -0.01, 2)
    assert found.form == "points"


@pytest.mark.parametrize("layers", [10, 22])
def test_all_layers_and_half_of_them_are_those_of_the_tables_network(layers):
    half = layers // 2
    rows = table(
        record(f"q_last{layers}", "share", 1.0, where="last", k=layers),
        record(f"q_last{half}", "share", 0.7, where="last", k=half),
        record(f"q_first{half}", "share", 0.3, where="first", k=half),
    )
    rule = {"kind": "difference", "metric": "share", "variant": "q_lastN", "exact": True,
            "minus": {"variant": ["q_lastHalf", "q_firstHalf"]}, "above": 0}  # fmt: skip
    found = [t.estimate.value for t in terms_of(rule, rows)]
    assert found == pytest.approx([0.3, 0.7])


def test_a_worse_copy_of_the_data_and_the_model_itself():
    rows = table(
        record("q", "acc", 0.9, 0.8, 0.95), record("q", "acc", 0.1, 0.0, 0.2, model="twin"),
        record("q", "acc", 0.5, 0.4, 0.6, condition="noise", strength=3),
        record("q", "acc", 0.7, 0.6, 0.8, condition="noise", strength=1),
    )  # fmt: skip
    rule = {"kind": "value", "metric": "acc", "variant": "q", "above": 0}
    noise = {"condition": "noise", "strength": 3}
    for more, value in (({}, 0.9), (noise, 0.5), ({"model": "twin"}, 0.1)):
        assert terms_of(rule | more, rows)[0].estimate.value == value
    drop = rule | noise | {"kind": "difference", "minus": {"condition": None, "strength": None}}
    (found,) = terms_of(drop, rows)
    assert found.estimate.value == pytest.approx(-0.4)
    assert found.name == "acc of q on noise3 minus acc of q"
    assert len(terms_of(rule | noise | {"strength": [1, 3]}, rows)) == 2
    with pytest.raises(QlabError, match="several records of acc of q on noise; name part, k or"):
        terms_of(rule | {"condition": "noise"}, rows)


def test_a_clock_is_told_on():
    rows = table(record("q", "ms", 2.0, 1, 3, clock=True), record("r", "ms", 1.0, 0.5, 2))
    rule = {"kind": "value", "metric": "ms", "variant": ["q", "r"], "above": 0}
    assert [t.clock for t in terms_of(rule, rows)] == [True, False]
    for kind, other in (("ratio", "over"), ("difference", "minus")):
        rule = {"kind": kind, "metric": "ms", "variant": "r", other: {"variant": "q"}, "above": 0}
        assert terms_of(rule, rows)[0].clock


def test_published_values_are_met_to_within_the_tolerance():
    about = {"model": "six", "n": 1, "part": "f1"}
    rows = table(
        record("all_models", "belief", 0.81, **about),
        record("all_models", "belief", 0.4, **about, condition="reading_a"),
        record("all_models", "low", 0.0, **about),
    )
    rule = {"kind": "published", "model": "six", "variant": "all_models", "tolerance": 0.02}
    rule |= {"part": "f1"}
    assert judged(rule | {"values": {"belief": 0.83, "low": 0}}, rows)[0] == HOLDS
    verdict, found = judged(rule | {"values": {"belief": 0.83, "low": 1}}, rows)
    assert verdict == NOT and found.name == "f1 low of six"
    assert judged(rule | {"values": {"belief": 0.8301, "low": 0}}, rows)[0] == NOT


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"variant": "int8"}, "There is no record of speed of int8 on d"),
        ({"metric": "energy_j"}, "no record of energy_j of fp16"),
        ({"metric": "size_bytes"}, "size_bytes of fp16 was recorded without an interval"),
        (
            {"kind": "trend", "metric": "speed", "method": "qat", "bits": 8, "where": "last"},
            "takes 5 values of k; .* have 0",
        ),
    ],
)
def test_what_is_not_there_is_not_tested(rule, sentence):
    asked = {"kind": "value", "metric": "speed", "variant": "fp16", "above": 0} | rule
    with pytest.raises(NotTested, match=sentence):
        terms_of(asked, SIZES)


def trend(values) -> tuple[str, Term]:
    series = {"method": "q", "bits": 8, "where": "last"}
    rows = [record(f"q{k}", "t", v, k=k, **series) for k, v in enumerate(values, 1)]
    other = [record(f"p{k}", "t", -k, k=k, **series | {"bits": 4}) for k in range(1, 9)]
    return judged({"kind": "trend", "metric": "t", "above": 0} | series, table(*rows, *other))


def test_a_trend_is_a_rank_correlation():
    verdict, found = trend([1, 2, 4, 8, 16, 32, 64, 128])
    assert verdict == HOLDS and found.estimate.value == pytest.approx(1) and found.estimate.n == 8
    assert trend([8, 7, 6, 5, 4, 3, 2, 1])[0] == NOT
    assert trend([1, 5, 2, 6, 1.5, 5.5, 2.5, 3])[0] == UNDECIDED


def sweep(depth: float) -> pd.DataFrame:
    """Records of a made-up sweep of 8 layers whose first ones cost `depth` more."""
    rows = []
    for p in qat_world.places(depth=depth, layers=8).itertuples():
        variant = f"qat_w8a8_{p.where}{p.k}"
        if p.where == "only" and p.k in (1, 8) or p.where == "first" and p.k == 8:
            continue
        ends = (-p.loss, -p.loss - 0.01, -p.loss + 0.01)
        about = {"method": "qat", "bits": 8, "where": p.where, "k": p.k}
        rows.append(record(variant, "accuracy_difference", *ends, seed=p.seed, **about))
        if p.seed == 0:
            rows.append(record(variant, "size_bytes", 1.0, unit="byte", n=1, **about))
            rows.append(record(variant, "quantized_share", p.share, n=1, **about))
    return records.as_table(rows)


def test_layers_alone_are_judged_by_the_regression_of_notebook_03():
    rule = {"kind": "depth", "method": "qat", "bits": 8, "above": 0}
    assert judged(rule, sweep(0.02))[0] == HOLDS
    assert judged(rule, sweep(-0.02))[0] == NOT
    found = judged(rule, sweep(0.02))[1]
    assert found.p < 0.05 and found.smallest_effect > 0 and found.estimate.n == 8
    with pytest.raises(NotTested, match="no qat at 4 bits"):
        terms_of(rule | {"bits": 4}, sweep(0.02))


COUNTS = pd.DataFrame(
    {"variant": list("aaabbb"), "kind": ["word", "bit", "dot"] * 2, "count": [90, 6, 4, 10, 60, 30]}
)


def test_first_against_last_takes_the_record_over_seeds_and_images_and_not_that_of_one_k():
    more = {"method": "qat", "bits": 4, "where": "first"}
    over = record("qat_w4a8_first_minus_last", "accuracy_minus_last_over_seeds",
                  -0.02, -0.03, -0.01, n=3, **more)  # fmt: skip
    of_one_k = record("qat_w4a8_first1", "accuracy_minus_last_over_seeds", 0.5, 0.4, 0.6,
                      n=3, k=1, **more)  # fmt: skip
    rule = {"kind": "value", "metric": "accuracy_minus_last"}
    rule |= {"variant": "qat_w4a8_first_minus_last", "below": 0}
    verdict, found = judged(rule, table(over, of_one_k))
    assert verdict == HOLDS and found.estimate == (-0.02, -0.03, -0.01, 3)
    assert found.form == "points"


def test_shares_of_a_figures_counts():
    rule = {"kind": "share", "figure": "f", "variant": "b", "above": 0.5}
    rule |= {"where": {"kind": ["bit", "dot"]}}
    verdict, found = judged(rule, COUNTS)
    assert verdict == HOLDS and found.estimate.value == 0.9 and found.estimate.n == 100
    assert judged(rule | {"variant": ["a", "b"]}, COUNTS)[0] == NOT
    with pytest.raises(NotTested, match="figure f does not show c"):
        terms_of(rule | {"variant": "c"}, COUNTS)
    for count, verdict in ((60, HOLDS), (61, NOT)):  # rows of a figure
        rule = {"kind": "count", "figure": "f", "where": {"kind": "bit", "count": count}}
        assert judged(rule | {"above": 0}, COUNTS)[0] == verdict
