"""Kinds of wrong answers on a made-up vocabulary, and how they are written."""

from types import SimpleNamespace

import numpy as np
from tiny_llama import scores

from qlab.language import outcomes
from qlab.language.lambada import Passage

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
        assert outcomes.kind(piece, WORDS.decode([number]), PASSAGE) == kind, piece
        assert kind in outcomes.KINDS
    ids = [PIECES.index(piece) for piece in ("ĠMar", "ven", "Ġthe", "Ġ")]
    assert outcomes.written(ids, WORDS) == ["Mar", "·ven", "the", "␣"]


def test_only_wrong_answers_are_sorted_by_kind():
    first = np.array([[PIECES.index("ĠMar")] * 10, [PIECES.index("Ġthe")] * 10])
    found = {
        "fp32": scores([0, 3], top_tokens=first),
        "w2": scores([9, 9], top_tokens=np.full((2, 10), PIECES.index("Ġ,"))),
    }
    table = outcomes.kinds(found, [PASSAGE] * 2, WORDS).set_index(["variant", "kind"])
    assert len(table) == 2 * len(outcomes.KINDS)
    assert table.loc[("fp32", "function word")].tolist() == [1, 1]
    assert table.loc[("w2", "punctuation or end")].tolist() == [2, 2]
    assert table["count"].sum() == 3
