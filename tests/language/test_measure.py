"""What experiment `llama_gptq` records, and its intervals, computed again from items."""

import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace

import committed
import numpy as np
import pandas as pd
import pytest
from tiny_llama import TASK, N, scores

from qlab.core import items, records
from qlab.language import build, lambada, measure, scoring, training
from qlab.language.quantized import Library
from qlab.language.scoring import TOP, Metric

Q, COSTS = "gptq_w2_g64", ["train_seconds", "trained_parameters", "adapter_bytes"]


def test_sides_are_compared_with_float_and_neighbours_with_each_other_on_the_same_passages():
    layers = {"attention": ["a", "b", "c"], "MLP": ["d"], "first": ["a"], "last": ["d"]}
    lost = {"attention": -3.0, "MLP": -1.5, "first": -1.0, "last": -4.0}  # before it is -1
    how = {"fp32": Library(None, 32), Q: Library("gptq", 2, 64)}
    built = {name: build.Variant(name, one, Path()) for name, one in how.items()}
    right = np.arange(N) % 2  # rank 0 or 1
    sided = {(Q, s): dataclasses.replace(built[Q], name=f"x {s}", layers=()) for s in layers}
    found = {"fp32": scores(right)}
    found |= {f"x {side}": scores(right + (side == "last"), p) for side, p in lost.items()}
    made = measure.part_records(TASK, built, sided, layers, scoring.table(TASK, found), 0)
    table = records.check(records.as_table(made), "here")
    assert set(table["variant"]) == {Q} and set(table["condition"]) == {measure.SOME}
    loss = records.pick(table, "log_likelihood_difference").set_index("part")
    assert loss["value"].to_dict() == pytest.approx({s: p + 1 for s, p in lost.items()})
    assert loss["k"].to_dict() == {side: len(some) for side, some in layers.items()}
    acc = records.pick(table, "acc_difference").set_index("part")["value"]
    assert acc.to_dict() == pytest.approx({"attention": 0, "MLP": 0, "first": 0, "last": -0.5})
    against = records.pick(table, "part_difference").set_index("part")["value"].to_dict()
    assert against == pytest.approx({"attention minus MLP": -1.5, "first minus last": 3.0})


def test_a_decoded_word_is_one_of_the_tokens_alone():
    """Of six tokens, some of which are whole words."""
    words = ["", " ball", "a", " horse", "Tom ", "ball"]
    tokenizer = SimpleNamespace(decode=lambda tokens: words[tokens[0]])
    top = np.zeros((5, TOP), int)
    top[:, :3] = [[2, 1, 3], [2, 2, 2], [3, 0, 0], [0, 0, 4], [0, 2, 1]]
    passages = [lambada.split(f"so {w}", "") for w in ("ball", "a", "horse-drawn", "Tom", "it")]
    found = scoring.decoded_rank(scores([0] * 5, top_tokens=top), passages, tokenizer)
    assert found.tolist() == [1, 0, TOP, 2, TOP]


def test_hits_are_ranks_below_k_and_each_reading_has_its_own():
    ranks = np.arange(N) % 15
    one = scores(ranks, worst_rank=ranks + 1, last_rank=ranks + 2)
    hits = scoring.hits(scoring.table(TASK, {Q: one}))
    assert len(hits) == 1 + 4 * TOP and (hits[scoring.ACC] == one.greedy).all()
    for reading, more in {"first_token": 0, "all_tokens": 1, "last_token": 2}.items():
        assert (hits[Metric(f"top_{reading}", 5)] == (ranks + more < 5)).all()


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["mini", "small"])
def test_the_committed_intervals_are_those_of_the_committed_items(profile, tmp_path):
    told, built = committed.table("llama_gptq", profile), {}
    heads = told.drop_duplicates("variant")[["variant", "method", "bits", "group_size"]]
    heads = heads.astype(object).where(heads.notna(), None)
    for name, method, *about in heads.itertuples(index=False):
        (folder := tmp_path / name).mkdir()
        cost = records.pick(told, COSTS, variant=name).set_index("metric")["value"]
        cost.to_json(folder / training.COST)
        how = Library(re.sub("_?lora", "", method or "") or None, *about)
        built[name] = build.Variant(name, how, folder, folder if name.endswith("_lora") else None)
    made = []
    for (model, dataset), rows in items.read("llama_gptq", profile).groupby(["model", "dataset"]):
        task = SimpleNamespace(model=model, dataset=dataset, processor=lambda: "a")
        alone = rows["condition"] == scoring.LAST_SENTENCE
        made += measure.judged_records(task, built, rows[~alone], 0)
        made += measure.last_sentence_records(task, built, rows[alone])
        made += measure.recovery_records(task, built, rows[~alone], 0)
    found = records.as_table(made)
    metrics = {"perplexity", "gap_growth_k1_k10", "kl_divergence", *measure.FLIPS, *COSTS}
    assert metrics | {"recovered_share", "trained_alike_difference"} <= set(found["metric"])
    found, told = (
        records.pick(table, list(set(found["metric"])), part=None)  # of parts there are no items
        .drop(columns=["device", "parent"])
        .sort_values(records.KEY, ignore_index=True)
        for table in (records.check(found, "what was computed again"), told)
    )  # a csv holds ten digits
    pd.testing.assert_frame_equal(found, told, check_dtype=False, rtol=1e-9, atol=1e-12)
