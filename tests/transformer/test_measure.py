"""Records follow from right and wrong answers, paired by sentence and by seed."""

from types import SimpleNamespace

import numpy as np
import pytest

from qlab.core import records, stats
from qlab.transformer import measure
from qlab.transformer.measure import FLOAT, Point

TASK = SimpleNamespace(model="m", dataset="d")
RNG = np.random.default_rng(0)
PLACES = ("all", "attention", "up", "down", "first_third", "last_third")
POINTS = [FLOAT, *(Point("tuned", seed=n) for n in range(3))]
POINTS += [Point("ptq", 2, where, None, 32) for where in PLACES]
POINTS += [Point("qat", 2, where, n, 32) for where in PLACES for n in range(3)]
POINTS += [Point("qat", 2, "first1", 0, 32)]
HITS = {point: RNG.random(300) < 0.8 for point in POINTS}


def rows(found, metric, **where):
    return records.pick(records.as_table(found), metric, **where)


def value(found, metric, **where):
    [row] = rows(found, metric, **where).itertuples()
    return row


def test_names_say_what_was_done_and_columns_too():
    point = Point("qat", 4, "last2", 1, 32)
    assert point.variant == "qat_w4_g32_last2" and FLOAT.variant == "fp32"
    assert point.columns == {"method": "qat", "bits": 4, "group_size": 32, "where": "last2"}
    assert {p.variant for p in POINTS if p.method == "tuned"} == {"fp32_tuned"}
    assert FLOAT.columns["method"] is None


def test_a_table_of_all_records_keeps_the_schema():
    found = measure.accuracy_records(TASK, HITS) + measure.seed_records(TASK, HITS)
    table = records.check(records.as_table(found), "here")
    assert not rows(found, "accuracy_difference", variant="fp32").size
    assert set(table["metric"]) <= set(measure.METRICS) and not table["clock"].any()


def test_a_difference_is_taken_on_the_same_sentences():
    found = measure.accuracy_records(TASK, HITS)
    one = value(found, "accuracy_difference", variant="qat_w2_g32_up", seed=1)
    e = stats.difference(HITS[FLOAT], HITS[Point("qat", 2, "up", 1, 32)])
    assert (one.value, one.ci_low, one.ci_high, one.n) == e


@pytest.mark.parametrize("name", ["minus_tuned", "minus_ptq", "minus_last_third"])
def test_seeds_are_paired_with_the_same_seeds_and_ptq_with_all(name):
    found = measure.seed_records(TASK, HITS)
    other = {"minus_tuned": ("tuned", None, None), "minus_ptq": ("ptq", 2, "up")}
    other = other.get(name, ("qat", 2, "last_third"))
    differences = []
    for seed in range(3):
        of = Point(*other, None if other[0] == "ptq" else seed, other[1] and 32)
        differences.append(HITS[Point("qat", 2, "up", seed, 32)] - HITS[of].astype(float))
    e = stats.over_seeds(np.stack(differences))
    one = value(found, f"accuracy_{name}_over_seeds", variant="qat_w2_g32_up")
    assert (one.value, one.ci_low, one.ci_high, one.n) == e and one.n == 3


def test_attention_is_compared_with_the_mean_of_the_feed_forward_halves():
    found = measure.seed_records(TASK, HITS)
    halves = [HITS[Point("ptq", 2, half, None, 32)] for half in ("up", "down")]
    e = stats.difference(np.mean(halves, axis=0), HITS[Point("ptq", 2, "attention", None, 32)])
    one = value(found, "accuracy_minus_feed_forward_over_seeds", method="ptq")
    assert (one.value, one.ci_low, one.ci_high, one.n) == e
    assert one.variant == "ptq_w2_g32_attention"


def test_one_seed_has_an_interval_over_sentences_and_meets_the_control_of_its_seed():
    found = measure.seed_records(TASK, HITS)
    right = HITS[Point("qat", 2, "first1", 0, 32)]
    for name, other in {"minus_tuned": Point("tuned", seed=0), "difference": FLOAT}.items():
        one = value(found, f"accuracy_{name}_over_seeds", variant="qat_w2_g32_first1")
        assert (one.value, one.ci_low, one.ci_high, one.n) == stats.difference(HITS[other], right)
    assert not rows(found, "accuracy_minus_ptq_over_seeds", variant="qat_w2_g32_first1").size


def test_where_a_seed_is_missing_there_is_no_comparison():
    less = {p: right for p, right in HITS.items() if p != Point("qat", 2, "last_third", 2, 32)}
    found = measure.seed_records(TASK, less)
    assert not rows(found, "accuracy_minus_last_third_over_seeds", method="qat").size
    assert len(rows(found, "accuracy_minus_last_third_over_seeds", method="ptq")) == 4
