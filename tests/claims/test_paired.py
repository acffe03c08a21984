"""Comparisons of two variants are drawn from the same items, where these are kept."""

import committed
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from pydantic import TypeAdapter

from qlab.claims import paired
from qlab.claims.address import Address
from qlab.claims.claims import Rule
from qlab.core import records, stats

A, B = "qat_w4a8_first16", "ptq_mse_w4a8_last22"  # of three seeds and of one
TABLE = committed.table("resnet_qat", "small")
KEPT = pd.read_parquet(ROOT / "data" / "results" / "small" / "items" / "resnet_qat.parquet")
PLAIN = KEPT["condition"].isna() & (KEPT["graph"] == "tflite")
ITEMS = KEPT[PLAIN & KEPT["variant"].isin(["fp32", A, B])]
MINUS = {"kind": "difference", "minus": {"variant": B}, "above": 0}


def estimate(rule: dict, items=ITEMS, table=TABLE):
    made = TypeAdapter(Rule).validate_python({"metric": "accuracy", "variant": A} | rule)
    (term,) = made.terms(table, items)
    return term.estimate


def test_a_paired_interval_is_narrower_about_the_same_figure():
    over = {"kind": "ratio", "over": {"variant": B}, "above": 1}
    for rule in (MINUS, over, over | {"metric": "accuracy_difference"}):
        alone, drawn = estimate(rule, None), estimate(rule)
        assert drawn.value == pytest.approx(alone.value) and drawn.n == 3
        assert alone.low < drawn.low < drawn.value < drawn.high < alone.high
    one = ITEMS[(ITEMS["variant"] != A) | (ITEMS["seed"] == 0)]
    one = one.assign(right=one["predicted"] == one["label"])
    right = one.pivot(index="variant", columns="image", values="right")
    found = estimate(MINUS, one, TABLE[TABLE["seed"].isna() | (TABLE["seed"] == 0)])
    assert found == stats.difference(*(right.loc[v].to_numpy() for v in (B, A)))  # of pairs


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
        (ITEMS["variant"] == B) & (ITEMS["image"] <= 5),  # B answered fewer images
        (ITEMS["variant"] == A) & (ITEMS["image"] <= 5) & (ITEMS["seed"] == 1),
        ITEMS["variant"] == B,
        ITEMS["graph"] == "tflite",
    ],
)
def test_what_is_not_of_the_same_items_is_put_together_from_intervals(left_out):
    assert estimate(MINUS, ITEMS[~left_out]) == estimate(MINUS, None)
    b = ITEMS["variant"] == B
    two = [ITEMS[b].assign(seed=seed) for seed in (0, 1)]  # where A has three
    assert estimate(MINUS, pd.concat([ITEMS[~b], *two])) == estimate(MINUS, None)


@pytest.mark.parametrize(("condition", "strength"), [(None, None), ("noise", 2)])
def test_outcomes_are_the_variants_minus_the_parents_on_the_same_condition(condition, strength):
    about = {"variant": "ptq_w4a8_last22", "condition": condition, "strength": strength}
    (row,) = records.pick(TABLE, "accuracy_difference", **about).itertuples()
    found = paired.outcomes(KEPT, TABLE, Address(metric="accuracy_difference", **about))
    assert found.mean(axis=None) == pytest.approx(row.value)
    assert paired.outcomes(KEPT, TABLE, Address(metric="ap", **about)) is None
