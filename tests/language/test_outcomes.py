"""Outcomes of single passages, and that every interval can be computed again from them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny_llama

from qlab.core import items, records
from qlab.language import build, lambada, measure, outcomes, scoring
from qlab.language.outcomes import Metric
from qlab.language.scoring import TOP

WORDS = ["ball", "a", "horse-drawn", "Tom", "it"]
RIGHT = ["acc", *(f"top_{reading}" for reading in outcomes.READINGS)]
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
    found = outcomes.decoded_rank(tiny_llama.scores([0] * 5, top_tokens=top), passages, tokenizer)
    assert found.tolist() == [1, 0, TOP, 2, TOP]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A task of 60 passages, and two tiny models' scores of them."""
    folder = tmp_path_factory.mktemp("tiny")
    model = tiny_llama.write(folder)
    words = build.configuration.load_tokenizer(folder)
    passages = [lambada.split(f"day {i} was {WORDS[i % 5]}", "") for i in range(60)]
    encoded = lambada.encode(passages, words, 64)
    about = {"model": "m", "dataset": "d", "tokenizer": words, "encoded": encoded}
    found = {"fp32": scoring.score(model, encoded)}
    for parameter in model.parameters():
        parameter.data.mul_(0.9)
    found["gptq_w4_g64"] = scoring.score(model, encoded)
    return SimpleNamespace(passages=passages, **about), found


def test_hits_are_ranks_below_k_and_each_reading_has_its_own(world):
    task, found = world
    rows = outcomes.table(task, found)
    assert [v for v, _ in outcomes.by_variant(rows)] == list(found)
    for variant, of in outcomes.by_variant(rows):
        hits, one = outcomes.hits(of), found[variant]
        assert len(hits) == 1 + 4 * TOP and (hits[outcomes.ACC] == one.greedy).all()
        first = np.array([e.tokens[-e.targets] for e in task.encoded])
        for k in outcomes.TOPS:
            inside = (one.top_tokens[:, :k] == first[:, None]).any(axis=1)
            assert (hits[Metric("top_first_token", k)] == inside).all()
            assert (hits[Metric("top_all_tokens", k)] == (one.worst_rank < k)).all()
            assert (hits[Metric("top_last_token", k)] == (one.last_rank < k)).all()


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """What is judged on passages: value, interval, n, seed, by what it is of."""
    rows = records.pick(table, JUDGED, part=None)  # of parts of the layers no items are kept
    return rows.drop(columns=["device", "parent"]).sort_values(records.KEY).reset_index(drop=True)


def again(stored: pd.DataFrame, abouts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The records of items alone, of variants with these columns."""
    heads = abouts.drop_duplicates("variant")[["variant", "method", "bits", "group_size"]]
    variants = {
        name: build.Variant(name, build.About(*(None if pd.isna(x) else x for x in about)), Path())
        for name, *about in heads.itertuples(index=False)
    }
    made = []
    for (model, dataset), rows in stored.groupby(["model", "dataset"]):
        task = SimpleNamespace(model=model, dataset=dataset)
        alone = rows["condition"] == outcomes.LAST_SENTENCE
        made += measure.judged_records(task, variants, rows[~alone], seed)
        made += measure.last_sentence_records(task, variants, rows[alone])
    return records.check(records.as_table(made), "what was computed again")


def test_every_interval_is_computed_again_from_the_items(world, home):
    task, found = world
    rows = outcomes.table(task, found)
    alone = outcomes.table(task, {"fp32": found["fp32"]}, condition=outcomes.LAST_SENTENCE)
    variants = {"fp32": build.Variant("fp32", build.About(None, 32), Path())}
    variants["gptq_w4_g64"] = build.Variant("gptq_w4_g64", build.About("gptq", 4, 64), Path())
    made = measure.judged_records(task, variants, rows, 3)
    made += measure.last_sentence_records(task, variants, alone)
    items.write("llama_gptq", "smoke", pd.concat([rows, alone]))
    first = records.check(records.as_table(made), "what was computed first")
    found_again = again(items.read("llama_gptq", "smoke"), first, 3)
    pd.testing.assert_frame_equal(judged(found_again), judged(first), check_exact=True)
    assert len(made) == len(judged(found_again)) > 100  # none of these is left out


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["mini", "small"])
def test_the_committed_intervals_are_those_of_the_committed_items(profile):
    if not items.path("llama_gptq", profile).is_file():
        pytest.skip(f"there are no items of {profile}")
    committed = records.read("llama_gptq", profile)
    found, wanted = (
        judged(again(items.read("llama_gptq", profile), committed, 0)),
        judged(committed),
    )
    assert len(found) > 100  # a csv holds ten digits
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False, rtol=1e-9, atol=1e-12)
