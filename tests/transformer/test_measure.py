"""Trainings are paired by sentence and by seed, where both of a pair are there.

How records follow from right and wrong answers the committed ones show: test_notebook.py.
"""

from types import SimpleNamespace

import numpy as np

from qlab.core import records, stats
from qlab.transformer import measure
from qlab.transformer.measure import FLOAT, Point

RNG = np.random.default_rng(0)
UP, FIRST, LAST = (Point("qat", 2, where, None, 32) for where in ("up", "first1", "last_third"))
POINTS = [FLOAT, *(Point(*one, group=32) for one in (("ptq", 2, "up"), ("ptq", 2, "last_third")))]
POINTS += [p._replace(seed=n) for p in (Point("tuned"), UP, LAST) for n in range(3)]
HITS = {point: RNG.random(300) < 0.8 for point in (*POINTS, FIRST._replace(seed=0))}


def over_seeds(hits) -> dict[tuple, tuple]:
    """By variant and what it is compared with: value, interval and n."""
    task = SimpleNamespace(model="m", dataset="d")
    table = records.check(records.as_table(measure.seed_records(task, hits)), "here")
    values = table[["value", "ci_low", "ci_high", "n"]].itertuples(index=False, name=None)
    return dict(zip(zip(table["variant"], table["metric"], strict=True), values, strict=True))


def test_trainings_are_paired_by_their_seeds_and_of_one_seed_only_sentences_vary():
    found, tuned = over_seeds(HITS), "accuracy_minus_tuned_over_seeds"
    each, control = ([HITS[p._replace(seed=n)] for n in range(3)] for p in (UP, Point("tuned")))
    paired = stats.over_seeds(np.array(each, float) - np.array(control, float))
    assert found[UP.variant, tuned] == paired
    alone = stats.difference(control[0], HITS[FIRST._replace(seed=0)])
    assert found[FIRST.variant, tuned] == alone


def test_where_one_of_a_pair_is_missing_there_is_no_comparison():
    found = over_seeds({p: one for p, one in HITS.items() if p != LAST._replace(seed=2)})
    last, ptq = ("accuracy_minus_last_third_over_seeds", "accuracy_minus_ptq_over_seeds")
    assert [variant for variant, metric in found if metric == last] == ["ptq_w2_g32_up"]
    assert (UP.variant, ptq) in found and (FIRST.variant, ptq) not in found
