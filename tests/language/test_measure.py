"""What experiment `llama_gptq` records, and its intervals, computed again from items."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import committed
import numpy as np
import pandas as pd
import pytest
from tiny_llama import TASK, N, scores, variants

from qlab.core import items, records
from qlab.language import build, lambada, measure, plots, scoring
from qlab.language.quantized import Library
from qlab.language.scoring import TOP, Metric

Q, LORA = "gptq_w2_g64", "gptq_w2_g64_lora"


def value(table, variant, metric, k=None):
    (row,) = records.pick(table, metric, variant=variant, k=k).to_dict("records")
    return row


def test_flips_add_up_and_what_is_derived_follows():
    """In the committed records, which the committed items give (below)."""
    table = plots.whole(committed.table("llama_gptq", "mini"))
    compared = records.pick(table, "flips_lost")
    assert len(compared) > 10 and "fp32" not in set(compared["variant"])
    for variant, n in zip(compared["variant"], compared["n"], strict=True):

        def of(metric, k=None, variant=variant):
            return value(table, variant, metric, k)["value"]

        changes = {k: of("top_first_token_difference", k) for k in scoring.TOPS}
        assert changes[5] == pytest.approx((of("flips_gained") - of("flips_lost")) / n)
        assert of("gap_growth_k1_k10") == pytest.approx(changes[1] - changes[10])
        for k, change in changes.items():
            before = of("top_first_token", k, "fp32")
            assert change == pytest.approx(of("top_first_token", k) - before)
        loss = of("log_likelihood") - of("log_likelihood", variant="fp32")
        assert of("log_likelihood_difference") == pytest.approx(loss)
        assert of("perplexity") == pytest.approx(np.exp(-of("log_likelihood")))


def test_recovery_is_a_share_of_what_was_lost(tmp_path):
    whole, broken = np.zeros(N, int), np.where(np.arange(N) < 100, 9, 0)
    half = np.where(np.arange(N) < 50, 9, 0)
    built = variants(["fp32", Q]) | variants([LORA], tmp_path / "adapter")
    cost = {"train_seconds": 3.5, "trained_parameters": 10, "adapter_bytes": 40}
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "cost.json").write_text(json.dumps(cost))

    def recovered(*ranks):
        found = dict(zip(built, map(scores, ranks), strict=True))
        rows = scoring.table(TASK, found)
        return records.as_table(measure.recovery_records(TASK, built, rows, 0))

    table = recovered(whole, broken, half)
    share = value(table, LORA, "recovered_share")
    assert share["value"] == pytest.approx(0.5) and share["ci_low"] < 0.5 < share["ci_high"]
    assert value(table, LORA, "recovery_difference")["value"] == pytest.approx(0.25)
    seconds = value(table, LORA, "train_seconds")
    assert (
        seconds["value"] == 3.5
        and seconds["clock"]
        and seconds["method"] == "gptq_lora"
        and seconds["bits"] == 2
    )
    assert records.pick(recovered(whole, whole, whole), "recovered_share").empty  # none was lost
    # Float with an adapter knows more than float: what is still lost is told of it.
    built |= variants(["fp32_lora"], tmp_path / "adapter")
    table = recovered(broken, broken, half, np.where(np.arange(N) < 25, 9, 0))
    assert value(table, LORA, "trained_alike_difference")["value"] == pytest.approx(-0.125)
    assert records.pick(table, "trained_alike_difference", variant="fp32_lora").empty


def test_sides_are_compared_with_float_and_neighbours_with_each_other_on_the_same_passages():
    layers = {"attention": ["a", "b", "c"], "MLP": ["d"], "first": ["a"], "last": ["d"]}
    lost = {"attention": -3.0, "MLP": -1.5, "first": -1.0, "last": -4.0}  # before it is -1
    built, right = variants(["fp32", Q]), np.arange(N) % 2  # rank 0 or 1
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
def test_the_committed_intervals_are_those_of_the_committed_items(profile):
    told = committed.table("llama_gptq", profile)
    heads = told.drop_duplicates("variant")[["variant", "method", "bits", "group_size"]]
    variants = {
        name: build.Variant(name, Library(*(None if pd.isna(x) else x for x in about)), Path())
        for name, *about in heads.itertuples(index=False)
    }
    made = []
    for (model, dataset), rows in items.read("llama_gptq", profile).groupby(["model", "dataset"]):
        task = SimpleNamespace(model=model, dataset=dataset)
        alone = rows["condition"] == scoring.LAST_SENTENCE
        made += measure.judged_records(task, variants, rows[~alone], 0)
        made += measure.last_sentence_records(task, variants, rows[alone])
    found = records.as_table(made)
    metrics = set(found["metric"])
    assert {"perplexity", "gap_growth_k1_k10", "kl_divergence", *measure.FLIPS} <= metrics
    found, told = (
        records.pick(table, list(metrics), part=None)  # of parts of the layers no items are kept
        .drop(columns=["device", "parent"])
        .sort_values(records.KEY, ignore_index=True)
        for table in (records.check(found, "what was computed again"), told)
    )  # a csv holds ten digits
    pd.testing.assert_frame_equal(found, told, check_dtype=False, rtol=1e-9, atol=1e-12)
