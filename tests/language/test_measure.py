"""What experiment `llama_gptq` records, on made-up scores."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_llama import TASK, N, scores, variants

from qlab.core import records
from qlab.language import measure as llama_gptq
from qlab.language import outcomes


def judged(found):
    return llama_gptq.judged_records(TASK, variants(found), outcomes.table(TASK, found), 0)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    ranks = rng.integers(0, 12, N)
    worse = np.where(rng.random(N) < 0.3, ranks + 3, ranks)
    found = {"fp32": scores(ranks), "gptq_w2_g64": scores(worse, -2.0)}
    return records.check(records.as_table(judged(found)), "here")


def value(table, variant, metric, k=None):
    (row,) = records.pick(table, metric, variant=variant, k=k).to_dict("records")
    return row


def test_perplexity_is_of_words(table):
    row = value(table, "gptq_w2_g64", "perplexity")
    assert row["value"] == pytest.approx(np.exp(2.0)) and row["n"] == N
    assert row["ci_low"] == pytest.approx(row["ci_high"])  # every passage has the same loss


def test_only_variants_are_compared_and_flips_add_up(table):
    assert records.pick(table, "flips_lost", variant="fp32").empty
    lost = value(table, "gptq_w2_g64", "flips_lost")["value"]
    gained = value(table, "gptq_w2_g64", "flips_gained")["value"]
    change = value(table, "gptq_w2_g64", "top_first_token_difference", 5)
    assert change["value"] == pytest.approx((gained - lost) / N) and lost > 0 == gained
    assert value(table, "gptq_w2_g64", "acc_flips_lost")["n"] == N
    for k in outcomes.TOPS:
        row = value(table, "gptq_w2_g64", "top_first_token_difference", k)
        whole, worse = (
            value(table, v, "top_first_token", k)["value"] for v in ("fp32", "gptq_w2_g64")
        )
        assert row["value"] == pytest.approx(worse - whole)


def test_divergence_and_likelihood_are_paired_with_the_parents(table):
    row = value(table, "gptq_w2_g64", "kl_divergence")
    assert row["value"] == row["ci_low"] == row["ci_high"] == 0.25 and row["n"] == N
    assert records.pick(table, "kl_divergence", variant="fp32").empty
    assert value(table, "gptq_w2_g64", "log_likelihood_difference")["value"] == -1
    about = ["method", "bits", "group_size", "parent"]
    assert [row[name] for name in about] == ["gptq", 2, 64, TASK.parent]


@pytest.mark.parametrize("shift, sign", [(1, -1), (100, 1)])
def test_gap_growth_is_below_zero_where_a_smaller_k_widens_the_gap(shift, sign):
    """One rank down hurts k = 1 alone; far down hurts k = 10 more, which had more to lose."""
    ranks = np.arange(N) % 10
    found = {"fp32": scores(np.minimum(ranks, 8)), "bnb_nf4": scores(np.minimum(ranks, 8) + shift)}
    table = records.as_table(judged(found))
    row = value(table, "bnb_nf4", "gap_growth_k1_k10")
    assert np.sign(row["value"]) == np.sign(row["ci_low"]) == np.sign(row["ci_high"]) == sign


def test_recovery_is_a_share_of_what_was_lost(tmp_path, monkeypatch):
    q, lora = "gptq_w2_g64", "gptq_w2_g64_lora"
    whole, broken = np.zeros(N, int), np.where(np.arange(N) < 100, 9, 0)
    half = np.where(np.arange(N) < 50, 9, 0)
    built = variants(["fp32", q]) | variants([lora], tmp_path / "adapter")
    about = built[lora].about._replace(method="gptq_lora")
    built[lora] = dataclasses.replace(built[lora], about=about)
    cost = SimpleNamespace(train_seconds=3.5, parameters=10, adapter_bytes=40)
    monkeypatch.setattr(llama_gptq.lora, "cost", lambda folder: cost)

    def recovered(*ranks):
        found = dict(zip(built, map(scores, ranks), strict=True))
        rows = outcomes.table(TASK, found)
        return records.as_table(llama_gptq.recovery_records(TASK, built, rows, 0))

    table = recovered(whole, broken, half)
    share = value(table, lora, "recovered_share")
    assert share["value"] == pytest.approx(0.5) and share["ci_low"] < 0.5 < share["ci_high"]
    assert value(table, lora, "recovery_difference")["value"] == pytest.approx(0.25)
    seconds = value(table, lora, "train_seconds")
    assert seconds["value"] == 3.5 and seconds["clock"] and seconds["method"] == "gptq_lora"
    nothing_lost = recovered(whole, whole, whole)
    assert records.pick(nothing_lost, "recovered_share").empty
