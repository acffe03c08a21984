"""The explore section's passages begin with what lost most; its flips are the records' own."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny_llama
from explored import moves

from qlab.core import records
from qlab.language import explore, measure, outcomes
from qlab.language.lambada import Encoded, Passage

N = 30


class Words:
    """Tokens w0, w1, ...; each starts a word, and number 3 has signs that HTML and TeX take."""

    def convert_ids_to_tokens(self, ids):
        return [f"Ġw{i}" for i in ids]

    def decode(self, ids):
        return " <$b$>" if ids[0] == 3 else f" w{ids[0]}"


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    passages = [Passage(f"a < {i} w3", f"a < {i}", "w3") for i in range(N)]
    task = SimpleNamespace(
        passages=passages, encoded=[Encoded([1, 2, 3], 1)] * N, tokenizer=Words(), model="m",
        dataset="d", choice=SimpleNamespace(device="cpu", dtype="float32"),
    )  # fmt: skip
    found = {
        v: tiny_llama.scores(np.where(rng.random(N) < share, 0, 10), np.log(rng.random(N)))
        for v, share in (("fp32", 0.8), ("gptq_w4_g64", 0.7), ("rtn_w2_g64", 0.2))
    }
    judged = measure.judged_records(task, outcomes.table(task, found), 0)
    return task, found, records.as_table(judged)


def test_samples_begin_with_what_lost_most_and_count_flips_as_recorded(world):
    task, found, table = world
    box = explore.samples(task, found)
    moves(box, {"variant": "rtn_w2_g64", "passage, most lost first": N})
    box.children[1].value, told = 1, box.children[-2]
    before, after = (np.exp(found[v].log_likelihood) for v in ("fp32", "rtn_w2_g64"))
    order = explore.by_loss(found["fp32"], found["rtn_w2_g64"])
    assert sorted(order) == list(range(N)) and (np.diff((before - after)[order]) <= 0).all()
    lost, gained = (
        int(records.value(table, "rtn_w2_g64", f"acc_flips_{side}")) for side in ("lost", "gained")
    )
    said = f"rtn_w2_g64 no longer says {lost} that fp32 says, and says {gained} that"
    assert lost > 0 and said in told.value
