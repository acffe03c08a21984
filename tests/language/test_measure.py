"""What experiment `llama_gptq` records, and its intervals, computed again from items."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny_llama
from tiny_llama import TASK, N, scores, variants

from qlab.core import items, records
from qlab.language import build, lambada, measure, scoring
from qlab.language.quantized import Library
from qlab.language.scoring import TOP, Metric

Q, LORA = "gptq_w2_g64", "gptq_w2_g64_lora"


def judged(found, seed=0):
    return measure.judged_records(TASK, variants(found), scoring.table(TASK, found), seed)


@pytest.fixture
def found():
    """Scores of a parent and of a variant that is worse on three tenths of the passages."""
    rng = np.random.default_rng(0)
    ranks = rng.integers(0, 12, N)
    worse = np.where(rng.random(N) < 0.3, ranks + 3, ranks)
    return {"fp32": scores(ranks), Q: scores(worse, -2.0)}


@pytest.fixture
def table(found):
    return records.check(records.as_table(judged(found)), "here")


def value(table, variant, metric, k=None):
    (row,) = records.pick(table, metric, variant=variant, k=k).to_dict("records")
    return row


def test_perplexity_is_of_words_and_only_variants_are_compared(table):
    row = value(table, Q, "perplexity")
    assert row["value"] == pytest.approx(np.exp(2.0)) and row["n"] == N
    assert row["ci_low"] == pytest.approx(row["ci_high"])  # every passage has the same loss
    assert records.pick(table, ["flips_lost", "kl_divergence"], variant="fp32").empty
    row = value(table, Q, "kl_divergence")
    assert row["value"] == row["ci_low"] == row["ci_high"] == 0.25 and row["n"] == N
    assert value(table, Q, "log_likelihood_difference")["value"] == -1
    about = ["method", "bits", "group_size", "parent"]
    assert [row[name] for name in about] == ["gptq", 2, 64, TASK.parent]


def test_flips_add_up(table):
    lost, gained = (value(table, Q, f"flips_{way}")["value"] for way in ("lost", "gained"))
    change = value(table, Q, "top_first_token_difference", 5)
    assert change["value"] == pytest.approx((gained - lost) / N) and lost > 0 == gained
    assert value(table, Q, "acc_flips_lost")["n"] == N
    for k in scoring.TOPS:
        row = value(table, Q, "top_first_token_difference", k)
        whole, worse = (value(table, v, "top_first_token", k)["value"] for v in ("fp32", Q))
        assert row["value"] == pytest.approx(worse - whole)


@pytest.mark.parametrize("shift, sign", [(1, -1), (100, 1)])
def test_gap_growth_is_below_zero_where_a_smaller_k_widens_the_gap(shift, sign):
    """One rank down hurts k = 1 alone; far down hurts k = 10 more, which had more to lose."""
    ranks = np.arange(N) % 10
    found = {"fp32": scores(np.minimum(ranks, 8)), Q: scores(np.minimum(ranks, 8) + shift)}
    row = value(records.as_table(judged(found)), Q, "gap_growth_k1_k10")
    assert np.sign(row["value"]) == np.sign(row["ci_low"]) == np.sign(row["ci_high"]) == sign


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
    assert seconds["value"] == 3.5 and seconds["clock"] and seconds["method"] == "gptq_lora"
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


WORDS = ["ball", "a", "horse-drawn", "Tom", "it"]
RIGHT = ["acc", *(f"top_{reading}" for reading in scoring.READINGS)]
JUDGED = ["perplexity", "gap_growth_k1_k10", *RIGHT, *(f"{name}_difference" for name in RIGHT)]
JUDGED += ["log_likelihood", "log_likelihood_difference", "kl_divergence"]
JUDGED += [prefix + name for name in measure.FLIPS for prefix in ("", "acc_")]


def test_a_decoded_word_is_one_of_the_tokens_alone():
    """Of six tokens, some of which are whole words."""
    words = ["", " ball", "a", " horse", "Tom ", "ball"]
    tokenizer = SimpleNamespace(decode=lambda tokens: words[tokens[0]])
    top = np.zeros((5, TOP), int)
    top[:, :3] = [[2, 1, 3], [2, 2, 2], [3, 0, 0], [0, 0, 4], [0, 2, 1]]
    passages = [lambada.split(f"so {w}", "") for w in WORDS]
    found = scoring.decoded_rank(tiny_llama.scores([0] * 5, top_tokens=top), passages, tokenizer)
    assert found.tolist() == [1, 0, TOP, 2, TOP]


def test_hits_are_ranks_below_k_and_each_reading_has_its_own(found):
    moved = {"worst_rank": found[Q].first_rank + 1, "last_rank": found[Q].first_rank + 2}
    found[Q] = dataclasses.replace(found[Q], **moved)
    rows = dict(scoring.by_variant(scoring.table(TASK, found)))
    assert list(rows) == list(found)
    for variant, one in found.items():
        hits = scoring.hits(rows[variant])
        assert len(hits) == 1 + 4 * TOP and (hits[scoring.ACC] == one.greedy).all()
        for k in scoring.TOPS:
            inside = (one.top_tokens[:, :k] == 3).any(axis=1)  # the word
            assert (hits[Metric("top_first_token", k)] == inside).all()
            assert (hits[Metric("top_all_tokens", k)] == (one.worst_rank < k)).all()
            assert (hits[Metric("top_last_token", k)] == (one.last_rank < k)).all()


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """What is judged on passages: value, interval, n, seed, by what it is of."""
    rows = records.pick(table, JUDGED, part=None)  # of parts of the layers no items are kept
    return rows.drop(columns=["device", "parent"]).sort_values(records.KEY).reset_index(drop=True)


def again(stored: pd.DataFrame, abouts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The records of items alone, of variants with these columns."""
    heads = abouts.drop_duplicates("variant")[["variant", "method", "bits", "group_size"]]
    variants = {
        name: build.Variant(name, Library(*(None if pd.isna(x) else x for x in about)), Path())
        for name, *about in heads.itertuples(index=False)
    }
    made = []
    for (model, dataset), rows in stored.groupby(["model", "dataset"]):
        task = SimpleNamespace(model=model, dataset=dataset)
        alone = rows["condition"] == scoring.LAST_SENTENCE
        made += measure.judged_records(task, variants, rows[~alone], seed)
        made += measure.last_sentence_records(task, variants, rows[alone])
    return records.check(records.as_table(made), "what was computed again")


def test_every_interval_is_computed_again_from_the_items(found, home):
    rows, built = scoring.table(TASK, found), variants(found)
    alone = scoring.table(TASK, {"fp32": found["fp32"]}, condition=scoring.LAST_SENTENCE)
    made = judged(found, 3) + measure.last_sentence_records(TASK, built, alone)
    items.write("llama_gptq", "smoke", pd.concat([rows, alone]))
    first = records.check(records.as_table(made), "what was computed first")
    found_again = again(items.read("llama_gptq", "smoke"), first, 3)
    pd.testing.assert_frame_equal(tidy(found_again), tidy(first), check_exact=True)
    assert len(made) == len(tidy(found_again)) > 100  # none of these is left out


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["mini", "small"])
def test_the_committed_intervals_are_those_of_the_committed_items(profile):
    if not items.path("llama_gptq", profile).is_file():
        pytest.skip(f"there are no items of {profile}")
    committed = records.read("llama_gptq", profile)
    found = tidy(again(items.read("llama_gptq", profile), committed, 0))
    assert len(found) > 100  # a csv holds ten digits
    pd.testing.assert_frame_equal(found, tidy(committed), check_dtype=False, rtol=1e-9, atol=1e-12)
