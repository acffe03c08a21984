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


def right(method, bits, where, seed=None):
    """What a point has right, as shares."""
    return HITS[Point(method, bits, where, seed, bits and 32)].astype(float)


def over(of, other):
    """Over the seeds, of one and of the other."""
    return stats.over_seeds(np.stack([of(n) - other(n) for n in range(3)]))


UP = [right("qat", 2, "up", n) for n in range(3)]
ALONE = HITS[Point("qat", 2, "first1", 0, 32)]  # of one seed
HALVES = np.mean([right("ptq", 2, half) for half in ("up", "down")], axis=0)
EXPECTED = [  # variant, seed, metric, and the estimate that it is
    ("qat_w2_g32_up", 1, "difference", stats.difference(HITS[FLOAT], UP[1] > 0)),
    ("qat_w2_g32_up", None, "minus_tuned_over_seeds",
     over(lambda n: UP[n], lambda n: right("tuned", None, None, n))),
    ("qat_w2_g32_up", None, "minus_ptq_over_seeds",
     over(lambda n: UP[n], lambda n: right("ptq", 2, "up"))),
    ("qat_w2_g32_up", None, "minus_last_third_over_seeds",
     over(lambda n: UP[n], lambda n: right("qat", 2, "last_third", n))),
    ("ptq_w2_g32_attention", None, "minus_feed_forward_over_seeds",
     stats.difference(HALVES, HITS[Point("ptq", 2, "attention", None, 32)])),
    ("qat_w2_g32_first1", None, "minus_tuned_over_seeds",
     stats.difference(HITS[Point("tuned", seed=0)], ALONE)),
    ("qat_w2_g32_first1", None, "difference_over_seeds", stats.difference(HITS[FLOAT], ALONE)),
]  # fmt: skip


@pytest.fixture(scope="module")
def table():
    made = measure.accuracy_records(TASK, HITS) + measure.seed_records(TASK, HITS)
    return records.check(records.as_table(made), "here")


@pytest.mark.parametrize(("variant", "seed", "metric", "expected"), EXPECTED)
def test_points_are_paired_by_sentence_and_by_seed(table, variant, seed, metric, expected):
    assert set(table["metric"]) <= set(measure.METRICS) and not table["clock"].any()
    [row] = records.pick(table, f"accuracy_{metric}", variant=variant, seed=seed).itertuples()
    assert (row.value, row.ci_low, row.ci_high, row.n) == expected
    assert row.bits == 2 and row.where == variant.rpartition("_")[2]


def test_where_one_of_a_pair_is_missing_there_is_no_comparison():
    less = {p: one for p, one in HITS.items() if p != Point("qat", 2, "last_third", 2, 32)}
    table = records.as_table(measure.seed_records(TASK, less))
    found = records.pick(table, "accuracy_minus_last_third_over_seeds")
    assert found["method"].tolist() == ["ptq"] * 4
    ptq = records.pick(table, "accuracy_minus_ptq_over_seeds")["variant"]
    assert "qat_w2_g32_up" in set(ptq) and "qat_w2_g32_first1" not in set(ptq)
