"""What notebook 06 says of its committed run, held to its records, and these to their sentences."""

import re
from types import SimpleNamespace

import committed
import numpy as np
import pandas as pd
import pytest
import shown
from conftest import ROOT

from qlab.core import records
from qlab.transformer import measure
from qlab.transformer.measure import Point

PROSE = shown.prose("06_")
OVER = "accuracy_{}_over_seeds"
# Variants in the prose, with the difference that is told behind them.
SAID = {
    "difference": [
        *("ptq_w2_g32_last3", "ptq_w2_g32_first1", "ptq_w2_g32_all", "qat_w2_g32_all"),
        *("ptq_w4_g32_all", "ptq_w8_g32_all", "fp32_tuned"),
        *("ptq_w2_g32_attention1", "ptq_w2_g32_later_attention"),
    ],
    "minus_ptq": ["qat_w2_g32_all", "qat_w2_g32_attention", "qat_w2_g32_last_third"],
    "minus_tuned": ["qat_w2_g32_all"],
    "minus_last_third": [
        *("ptq_w2_g32_attention", "qat_w2_g32_attention"),
        *("ptq_w2_g32_first_third", "qat_w2_g32_first_third"),
    ],
    "minus_feed_forward": ["ptq_w2_g32_attention", "qat_w2_g32_attention"],
}
OWN = "bert_mini_reviews"
# The same of siblings, who are told by their seed.
SIBLINGS = [("ptq_w2_g32_attention", "minus_last_third"), ("ptq_w2_g32_attention1", "difference")]
SIBLINGS += [("ptq_w2_g32_later_attention", "difference")]
SIBLINGS += [("qat_w2_g32_attention", "minus_last_third")]
CLAIMS = [(OWN, variant, name) for name, variants in SAID.items() for variant in variants]
CLAIMS += [(f"{OWN}_seed{seed}", *which) for seed in (8, 9) for which in SIBLINGS]


def table(model=OWN):
    found = committed.table("transformer_qat", "mini")
    return found[found["model"] == model]


def called(model: str, variant: str) -> str:
    return variant if model == OWN else model


@pytest.mark.parametrize(("model", "variant", "name"), CLAIMS)
def test_a_number_in_the_prose_is_a_committed_record(model, variant, name):
    [(_, row)] = records.pick(table(model), OVER.format(name), variant=variant).iterrows()
    assert f"`{called(model, variant)}` {records.interval(row, '+z.1f', 100)}" in PROSE


def test_every_number_in_the_prose_that_looks_like_a_record_is_tested():
    told = re.findall(r"`((?:ptq|qat|fp32|bert_mini_reviews_seed)\w*)` [+-]\d", PROSE)
    assert sorted(told) == sorted(called(model, variant) for model, variant, _ in CLAIMS)


def test_step_times_in_the_prose_are_committed_records():
    told = re.findall(r"`(qat_w4_g32_\w+)` (\d\.\d\d \[[^]]+\])", PROSE)
    rows = records.pick(table(), "train_step_ratio").set_index("variant")
    assert told and all(records.interval(rows.loc[v], ".2f") == text for v, text in told)
    assert rows["device"].str.contains("one process").all()


def hits_of(items, about):
    """What each point of a model has right, by its records' columns."""
    hits = {}
    for (variant, seed), rows in items.groupby(["variant", "seed"], observed=True, dropna=False):
        row = about.loc[variant]
        bits, group = (None if pd.isna(row[c]) else int(row[c]) for c in ("bits", "group_size"))
        drawn = None if pd.isna(seed) else int(seed)
        point = Point(row["method"] or "float", bits, row["where"], drawn, group)
        assert point.variant == variant and rows["sentence"].tolist() == list(range(2000))
        hits[point] = (rows["predicted"] == rows["label"]).to_numpy()
    return hits


def test_accuracies_and_intervals_follow_from_single_sentences():
    items = pd.read_parquet(ROOT / "data/results/mini/items/transformer_qat.parquet")
    known = records.read_file(ROOT / "data/results/mini/transformer_qat.csv")
    found = []
    for model, rows in items.groupby("model", observed=True):
        about = known[known["model"] == model].drop_duplicates("variant").set_index("variant")
        task, hits = SimpleNamespace(model=model, dataset="mini_reviews"), hits_of(rows, about)
        found += measure.accuracy_records(task, hits) + measure.seed_records(task, hits)
    again = records.as_table(found)
    kept = known[known["metric"].isin(again["metric"].unique())]
    key = ["model", "variant", "metric", "seed"]
    both = [one.set_index(key).sort_index() for one in (again, kept)]
    for column in ("value", "ci_low", "ci_high", "n"):
        np.testing.assert_allclose(*(one[column].astype(float) for one in both), rtol=1e-8)


def test_thirds_have_equal_bytes():
    rows = records.pick(table(), "size_bytes", where=["attention", "up", "down", "first_third",
                                                       "last_third"])  # fmt: skip
    assert (rows.groupby("bits")["value"].nunique() == 1).all() and set(rows["bits"]) == {2, 4}
