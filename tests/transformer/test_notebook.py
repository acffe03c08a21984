"""The committed records of notebook 06, held to their single sentences and to what it says."""

from types import SimpleNamespace

import committed
import numpy as np
import pandas as pd
from conftest import ROOT

from qlab.core import records
from qlab.transformer import measure
from qlab.transformer.measure import Point


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


def test_thirds_have_equal_bytes_and_times_are_of_one_process():
    table, thirds = committed.table("transformer_qat", "mini"), ("first_third", "last_third")
    where = {"model": "bert_mini_reviews", "where": ["attention", "up", "down", *thirds]}
    rows = records.pick(table, "size_bytes", **where)
    assert (rows.groupby("bits")["value"].nunique() == 1).all() and set(rows["bits"]) == {2, 4}
    assert records.pick(table, "train_step_ratio")["device"].str.contains("one process").all()
