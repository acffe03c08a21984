"""Kinds of wrong answers and how they are written; the explorer says what was scored."""

from types import SimpleNamespace

import numpy as np
import tiny_llama
from tiny_llama import scores

from qlab.language import explore, wrong_answers
from qlab.language.lambada import Encoded, Passage

PASSAGE = Passage("Bolas met Marven. He saw Marven", "Bolas met Marven. He saw", "Marven")
KINDS = {  # of a piece of the vocabulary
    "Ġ,": "punctuation or end",
    "Ġ": "punctuation or end",
    "<|end_of_text|>": "punctuation or end",
    "</s>": "punctuation or end",
    "ven": "fragment",
    "ĠMar": "the right beginning",
    "ĠBo": "from the passage",
    "▁Bolas": "from the passage",
    "Ġthe": "function word",
    "ĠHe": "function word",
    "Ġhouse": "another word",
}
PIECES = list(KINDS)
WORDS = SimpleNamespace(
    convert_ids_to_tokens=lambda ids: [PIECES[i] for i in ids],
    decode=lambda ids: "".join(PIECES[i] for i in ids).replace("Ġ", " ").replace("▁", ""),
)


def test_a_prediction_has_one_kind_and_is_written_so_that_one_sees_how_it_begins():
    for number, (piece, kind) in enumerate(KINDS.items()):
        assert wrong_answers.kind(piece, WORDS.decode([number]), PASSAGE) == kind, piece
        assert kind in wrong_answers.KINDS
    ids = [PIECES.index(piece) for piece in ("ĠMar", "ven", "Ġthe", "Ġ")]
    assert wrong_answers.written(ids, WORDS) == ["Mar", "·ven", "the", "␣"]


def test_only_wrong_answers_are_sorted_by_kind():
    first = np.array([[PIECES.index("ĠMar")] * 10, [PIECES.index("Ġthe")] * 10])
    found = {
        "fp32": scores([0, 3], top_tokens=first),
        "w2": scores([9, 9], top_tokens=np.full((2, 10), PIECES.index("Ġ,"))),
    }
    table = wrong_answers.kinds(found, [PASSAGE] * 2, WORDS).set_index(["variant", "kind"])
    assert len(table) == 2 * len(wrong_answers.KINDS)
    assert table.loc[("fp32", "function word")].tolist() == [1, 1]
    assert table.loc[("w2", "punctuation or end")].tolist() == [2, 2]
    assert table["count"].sum() == 3


N, RNG = 30, np.random.default_rng(0)
# Tokens w0, w1, ...; each starts a word, and number 3 has signs that HTML and TeX take.
TOKENS = SimpleNamespace(
    convert_ids_to_tokens=lambda ids: [f"Ġw{i}" for i in ids],
    decode=lambda ids: " <$b$>" if ids[0] == 3 else f" w{ids[0]}",
)
PASSAGES = [Passage(f"a < {i} w3", f"a < {i}", "w3") for i in range(N)]
TASK = SimpleNamespace(passages=PASSAGES, encoded=[Encoded([1, 2, 3], 1)] * N, tokenizer=TOKENS)


def test_samples_begin_with_what_lost_most_and_say_what_was_scored():
    ranks = {v: np.where(RNG.random(N) < 0.5, 0, 10) for v in ("fp32", "gptq_w4_g64", "rtn_w2_g64")}
    found = {v: tiny_llama.scores(r, np.log(RNG.random(N))) for v, r in ranks.items()}
    box = explore.samples(TASK, found)
    box.children[0].value = "gptq_w4_g64"
    before, after = (np.exp(found[v].log_likelihood) for v in ("fp32", "gptq_w4_g64"))
    at, told = int((before - after).argmax()), box.children[-2].value
    assert f"Passage {at + 1}: ... a &lt; {at} <b>w3</b>" in told
    for name, one in found.items():
        says = "says" if one.greedy[at] else "does not say"
        said = f"{name} {says} it ({np.exp(one.log_likelihood[at]):.1%})"
        assert (said in told) == (name != "rtn_w2_g64")
    still = box._repr_mimebundle_()  # of a page without widgets
    assert still["image/png"].startswith("iVBOR") and f"a < {at} w3" in still["text/plain"]
    box.children[1].value = N
    assert box.children[-2].value != told
