"""Comparisons of two variants are drawn from the same items, where these are kept."""

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from qlab.claims import paired
from qlab.claims.address import Address
from qlab.claims.claims import Rule
from qlab.core import records, stats
from qlab.core.records import Record

VARIANTS = {"fp32": (0.95, [None]), "a": (0.9, [0, 1, 2]), "b": (0.6, [None])}  # share, seeds


def world(n: int = 400) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records and items of a classifier: a, of three seeds, and b err where images are hard."""
    rng = np.random.default_rng(0)
    hard, rows, made = rng.random(n), [], []
    about, parent = {"experiment": "resnet_qat", "model": "m", "dataset": "d"}, hard < 0.95
    for variant, (share, seeds) in VARIANTS.items():
        made.append(Record(**about, variant=variant, metric="size_bytes", value=1.0, unit="byte"))
        for seed in seeds:
            own = variant == "fp32"
            right = parent if own else hard + rng.normal(0, 0.02, n) < share
            one = {"variant": variant, "seed": seed, "graph": "tflite", "condition": None}
            one |= {"strength": None, "image": range(n), "label": 1, "predicted": right.astype(int)}
            rows.append(pd.DataFrame(one))
            both = {"accuracy": stats.proportion(int(right.sum()), n)}
            both |= {} if own else {"accuracy_difference": stats.paired(parent, right).difference}
            here = about | {"variant": variant, "unit": "1", "n": n, "seed": seed}
            made += [Record(**here, metric=m, value=e.value, ci_low=e.low, ci_high=e.high)
                     for m, e in both.items()]  # fmt: skip
    return records.as_table(made), pd.concat(rows, ignore_index=True)


TABLE, ITEMS = world()
MINUS = {"kind": "difference", "minus": {"variant": "b"}, "above": 0}


def estimate(rule: dict, items=ITEMS, table=TABLE):
    made = TypeAdapter(Rule).validate_python({"metric": "accuracy", "variant": "a"} | rule)
    (term,) = made.terms(table, items)
    return term.estimate


def test_a_paired_interval_is_narrower_about_the_same_figure():
    over = {"kind": "ratio", "over": {"variant": "b"}, "above": 1}
    for rule in (MINUS, over, over | {"metric": "accuracy_difference"}):
        alone, drawn = estimate(rule, None), estimate(rule)
        assert drawn.value == pytest.approx(alone.value) and drawn.n == 3
        assert alone.low < drawn.low < drawn.value < drawn.high < alone.high
    one = ITEMS[(ITEMS["variant"] != "a") | (ITEMS["seed"] == 0)]
    right = one.assign(right=one["predicted"] == 1).pivot(
        index="variant", columns="image", values="right"
    )
    found = estimate(MINUS, one, TABLE[TABLE["seed"].isna() | (TABLE["seed"] == 0)])
    assert found == stats.difference(*(right.loc[v].to_numpy() for v in "ba"))  # of pairs


def test_a_ratio_of_pairs_covers():
    """Nineteen of twenty intervals hold the truth, of losses that are mostly of the same items."""
    rng, truth, inside = np.random.default_rng(1), 0.25, 0
    for _ in range(200):
        b = rng.random((1, 300)) < 0.4
        a = b & (rng.random((1, 300)) < truth)
        found = paired.ratio(a.astype(float), b.astype(float), draws=300)
        inside += found.low < truth < found.high
    assert 180 <= inside <= 200
    assert paired.difference(*np.ones((2, 1, 9))) is None is paired.ratio(*np.ones((2, 1, 9)))


@pytest.mark.parametrize(
    "left_out",
    [
        (ITEMS["variant"] == "b") & (ITEMS["image"] <= 5),  # b answered fewer images
        (ITEMS["variant"] == "a") & (ITEMS["image"] <= 5) & (ITEMS["seed"] == 1),
        ITEMS["variant"] == "b",
        ITEMS["graph"] == "tflite",
    ],
)
def test_what_is_not_of_the_same_items_is_put_together_from_intervals(left_out):
    assert estimate(MINUS, ITEMS[~left_out]) == estimate(MINUS, None)
    b = ITEMS["variant"] == "b"
    two = [ITEMS[b].assign(seed=seed) for seed in (0, 1)]  # where a has three
    assert estimate(MINUS, pd.concat([ITEMS[~b], *two])) == estimate(MINUS, None)


def test_outcomes_are_the_variants_minus_the_parents_on_the_same_condition():
    worse = ITEMS.assign(condition="noise", strength=2, predicted=0)
    both = pd.concat([ITEMS, worse], ignore_index=True)
    here = Address(metric="accuracy_difference", variant="b", condition="noise", strength=2)
    assert (paired.outcomes(both, TABLE, here) == 0).all(axis=None)
    plain = paired.outcomes(both, TABLE, Address(metric="accuracy_difference", variant="b"))
    value = records.value(TABLE, "b", "accuracy_difference")
    assert plain.mean(axis=None) == pytest.approx(value)
    assert paired.outcomes(ITEMS, TABLE, Address(metric="ap", variant="a")) is None
