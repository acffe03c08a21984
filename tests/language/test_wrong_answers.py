"""Kinds of wrong answers on a made-up vocabulary, and how they are written."""

import numpy as np
import pytest
from tiny_llama import scores

from qlab.language import wrong_answers
from qlab.language.lambada import Passage

PIECES = ["Ġthe", "ĠMar", "ĠBo", "ven", ".", "Ġ,", "Ġhouse", "ĠMarven", "▁Bolas", "Ġ"]
PASSAGE = Passage("Bolas met Marven. He saw Marven", "Bolas met Marven. He saw", "Marven")


class Words:
    """A tokenizer of the ten pieces."""

    def convert_ids_to_tokens(self, ids):
        return [PIECES[i] for i in ids]

    def decode(self, ids):
        return "".join(PIECES[i] for i in ids).replace("Ġ", " ").replace("▁", "")


@pytest.mark.parametrize(
    "piece, text, kind",
    [
        ("Ġ,", " ,", "punctuation or end"),
        ("Ġ", " ", "punctuation or end"),
        ("<|end_of_text|>", "<|end_of_text|>", "punctuation or end"),
        ("</s>", "</s>", "punctuation or end"),
        ("ven", "ven", "fragment"),
        ("ĠMar", " Mar", "the right beginning"),
        ("ĠBo", " Bo", "from the passage"),
        ("▁Bolas", "Bolas", "from the passage"),
        ("Ġthe", " the", "function word"),
        ("ĠHe", " He", "function word"),
        ("Ġhouse", " house", "another word"),
    ],
)
def test_a_prediction_has_one_kind(piece, text, kind):
    assert wrong_answers.kind(piece, text, PASSAGE) == kind
    assert kind in wrong_answers.KINDS


def test_only_wrong_answers_are_sorted_by_kind():
    found = {
        "fp32": scores([0, 3], top_tokens=np.array([[1] * 10, [0] * 10])),
        "w2": scores([9, 9], top_tokens=np.full((2, 10), 4)),
    }
    table = wrong_answers.kinds(found, [PASSAGE] * 2, Words()).set_index(["variant", "kind"])
    assert len(table) == 2 * len(wrong_answers.KINDS)
    assert table.loc[("fp32", "function word")].tolist() == [1, 1]
    assert table.loc[("w2", "punctuation or end")].tolist() == [2, 2]
    assert table["count"].sum() == 3


def test_a_prediction_is_written_so_that_one_sees_whether_it_continues_a_word():
    assert wrong_answers.written([1, 3, 0, 4, 9], Words()) == ["Mar", "·ven", "the", "·.", "␣"]
