"""Passages, probabilities and top-k of the explore section are those of scores and records."""

from types import SimpleNamespace

import numpy as np
import pytest
from explored import moves, stands_still

from qlab.core import records
from qlab.core.records import interval
from qlab.language import explore, measure, outcomes
from qlab.language.lambada import Encoded, Passage
from qlab.language.scoring import TOP, Scores

N = 30


class Words:
    """Tokens w0, w1, ...; each starts a word, and number 3 has signs that HTML and TeX take."""

    def convert_ids_to_tokens(self, ids):
        return [f"Ġw{i}" for i in ids]

    def decode(self, ids):
        return " <$b$>" if ids[0] == 3 else f" w{ids[0]}"


def scores(rng, right: np.ndarray, log_p: np.ndarray) -> Scores:
    """Scores with the true word's token, 3, on top where it is right."""
    top = np.tile(np.arange(10, 10 + TOP, dtype=np.int32), (N, 1))
    top[:, 0] = np.where(right, 3, 10)
    shares = np.sort(rng.dirichlet(np.ones(TOP), N), axis=1)[:, ::-1]
    rank = np.where(right, 0, TOP).astype(np.int32)
    return Scores(log_p, right, rank, rank, rank, top, np.log(shares).astype(np.float32))


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    passages = [Passage(f"a < {i} w3", f"a < {i}", "w3") for i in range(N)]
    task = SimpleNamespace(
        passages=passages, encoded=[Encoded([1, 2, 3], 1)] * N, tokenizer=Words(), model="m",
        dataset="d", choice=SimpleNamespace(device="cpu", dtype="float32"),
    )  # fmt: skip
    found = {
        v: scores(rng, rng.random(N) < share, np.log(rng.random(N)))
        for v, share in (("fp32", 0.8), ("gptq_w4_g64", 0.7), ("rtn_w2_g64", 0.2))
    }
    return task, found


@pytest.fixture
def box(world):
    return explore.samples(*world)


@pytest.mark.parametrize("variant", ["gptq_w4_g64", "rtn_w2_g64"])
def test_flips_are_those_of_the_records(world, box, variant):
    task, found = world
    box.children[0].value = variant
    table = records.as_table(measure.judged_records(task, outcomes.table(task, found), 0))
    lost, gained = (
        int(records.pick(table, f"acc_flips_{side}", variant=variant)["value"].iloc[0])
        for side in ("lost", "gained")
    )
    assert lost > 0
    told = box.children[-2].value
    assert f"{variant} no longer says {lost} that fp32 says, and says {gained} that" in told


def test_the_passage_that_lost_most_comes_first(world, box):
    _, found = world
    before, after = (np.exp(found[v].log_likelihood) for v in ("fp32", "gptq_w4_g64"))
    order = explore.by_loss(found["fp32"], found["gptq_w4_g64"])
    lost = (before - after)[order]
    assert sorted(order) == list(range(N)) and (np.diff(lost) <= 0).all()
    told = box.children[-2].value
    assert told.startswith(f"Passage {order[0] + 1}: a &lt; {order[0]} <b>w3</b>")
    assert f"fp32 gives it {before[order[0]]:.1%} and" in told


def test_bars_are_the_kept_probabilities_and_the_true_beginning_is_green(world):
    task, found = world
    at = int(np.flatnonzero(found["fp32"].greedy & ~found["rtn_w2_g64"].greedy)[0])
    pair = {v: found[v] for v in ("fp32", "rtn_w2_g64")}
    left, right = explore.picture(task, at, pair).axes
    for axis, one in ((left, found["fp32"]), (right, found["rtn_w2_g64"])):
        shares = [p.get_width() for p in axis.patches]
        np.testing.assert_allclose(shares, np.exp(one.top_log_p[at, :5]))
    colours = [len({p.get_facecolor() for p in axis.patches}) for axis in (left, right)]
    assert colours == [2, 1] and left.get_yticklabels()[0].get_text() == "<$b$>"


def test_every_control_moves_text_or_picture(box):
    moves(box, {"variant": "rtn_w2_g64", "passage, most lost first": N})
    stands_still(box)
    assert "a < " in box._repr_mimebundle_()["text/plain"]


@pytest.fixture(scope="module")
def table(world):
    return records.as_table(measure.judged_records(world[0], outcomes.table(*world), 0))


@pytest.fixture
def curves(table):
    return explore.curves(table)


def test_curves_say_what_is_recorded(curves, table):
    reading, k, variants, minus, text, _ = curves.children
    variants.value, k.value = ("gptq_w4_g64",), 7
    for name in explore.READINGS.values():
        reading.value = name
        for ending in ("", "_difference"):
            minus.value = bool(ending)
            row = records.pick(table, f"{name}{ending}", variant="gptq_w4_g64", k=7).iloc[0]
            assert text.value == f"Top-7: gptq_w4_g64 {interval(row)} (n = {N})."


def test_every_control_of_the_curves_moves_text_or_picture(curves):
    minus = "minus float's, on the same passages"
    others = {"reading": "top_decoded_word", "k": 1, "variants": ("fp32", "rtn_w2_g64")}
    others[minus] = True
    moves(curves, others)
    stands_still(curves)
    curves.children[2].value = ()
    assert curves.children[-2].value.startswith("Pick one or more variants; there are fp32, ")
