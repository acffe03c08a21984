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

SEEDS = {"fp32": [None], "a": [0, 1, 2], "b": [None]}
SHARES = {"fp32": 0.95, "a": 0.9, "b": 0.6}


def world(n: int = 400) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records and items of a classifier: a, of three seeds, and b err where images are hard."""
    rng = np.random.default_rng(0)
    hard, rows, made = rng.random(n), [], []
    about = {"experiment": "resnet_qat", "model": "m", "dataset": "d"}
    parent = hard < SHARES["fp32"]
    for variant, seeds in SEEDS.items():
        made.append(Record(**about, variant=variant, metric="size_bytes", value=1.0, unit="byte"))
        for seed in seeds:
            right = hard + rng.normal(0, 0.02, n) < SHARES[variant]
            right = parent if variant == "fp32" else right
            one = {"variant": variant, "seed": seed, "graph": "tflite", "condition": None}
            one |= {"strength": None, "image": range(n), "label": 1, "predicted": right.astype(int)}
            rows.append(pd.DataFrame(one))
            both = {"accuracy": stats.proportion(int(right.sum()), n)}
            if variant != "fp32":
                both["accuracy_difference"] = stats.paired(parent, right).difference
            made += [
                Record(**about, variant=variant, metric=metric, value=e.value, unit="1",
                       ci_low=e.low, ci_high=e.high, n=n, seed=seed)
                for metric, e in both.items()
            ]  # fmt: skip
    return records.as_table(made), pd.concat(rows, ignore_index=True)


TABLE, ITEMS = world()


def estimate(rule: dict, items=ITEMS, table=TABLE):
    made = TypeAdapter(Rule).validate_python({"metric": "accuracy", "variant": "a"} | rule)
    (term,) = made.terms(table, items)
    return term.estimate


def test_a_paired_interval_is_narrower_about_the_same_figure():
    for rule in (
        {"kind": "difference", "minus": {"variant": "b"}, "above": 0},
        {"kind": "ratio", "over": {"variant": "b"}, "above": 1},
        {"kind": "ratio", "metric": "accuracy_difference", "over": {"variant": "b"}, "below": 1},
    ):
        alone, drawn = estimate(rule, None), estimate(rule)
        assert drawn.value == pytest.approx(alone.value) and drawn.n == 3
        assert alone.low < drawn.low < drawn.value < drawn.high < alone.high


def test_two_variants_of_one_seed_get_the_score_interval_of_pairs():
    one = ITEMS[(ITEMS["variant"] != "a") | (ITEMS["seed"] == 0)]
    rows = TABLE[TABLE["seed"].isna() | (TABLE["seed"] == 0)]
    found = estimate({"kind": "difference", "minus": {"variant": "b"}, "above": 0}, one, rows)
    right = one.assign(right=one["predicted"] == 1).pivot(
        index="variant", columns="image", values="right"
    )
    assert found == stats.difference(*(right.loc[v].to_numpy() for v in "ba"))


def test_a_ratio_of_pairs_covers():
    """Nineteen of twenty intervals hold the truth, of losses that are mostly of the same items."""
    rng, truth, inside = np.random.default_rng(1), 0.25, 0
    for _ in range(200):
        b = rng.random((1, 300)) < 0.4
        a = b & (rng.random((1, 300)) < truth)
        found = paired.ratio(a.astype(float), b.astype(float), draws=300)
        inside += found.low < truth < found.high
    assert 180 <= inside <= 200


@pytest.mark.parametrize(
    "items",
    [
        ITEMS[(ITEMS["variant"] != "b") | (ITEMS["image"] > 5)],  # b answered fewer images
        ITEMS[(ITEMS["variant"] != "a") | (ITEMS["image"] > 5) | (ITEMS["seed"] != 1)],
        ITEMS[ITEMS["variant"] != "b"],
        ITEMS[ITEMS["graph"] == "float"],
    ],
)
def test_what_is_not_of_the_same_items_is_put_together_from_intervals(items):
    rule = {"kind": "difference", "minus": {"variant": "b"}, "above": 0}
    assert estimate(rule, items) == estimate(rule, None)


def test_what_has_no_outcome_of_single_items_is_not_paired():
    pair = (Address(metric="ap", variant="a"), Address(metric="ap", variant="b"))
    assert paired.both(ITEMS, TABLE, pair) is None
    ones = np.ones((1, 9))
    assert paired.difference(ones, ones) is None and paired.ratio(ones, ones) is None


def test_outcomes_are_the_variants_minus_the_parents_on_the_same_condition():
    worse = ITEMS.assign(condition="noise", strength=2, predicted=0)
    both = pd.concat([ITEMS, worse], ignore_index=True)
    here = Address(metric="accuracy_difference", variant="b", condition="noise", strength=2)
    assert (paired.outcomes(both, TABLE, here) == 0).all(axis=None)
    plain = paired.outcomes(both, TABLE, Address(metric="accuracy_difference", variant="b"))
    value = records.pick(TABLE, "accuracy_difference", variant="b")["value"].iloc[0]
    assert plain.mean(axis=None) == pytest.approx(value)
