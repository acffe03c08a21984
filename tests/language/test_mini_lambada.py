"""mini_lambada: no split shares a passage; the answer is told before, not in the last sentence."""

import json

import pytest

from qlab.core.errors import QlabError
from qlab.language import mini_lambada


@pytest.mark.parametrize("split", mini_lambada.COUNTS)
def test_a_split_is_the_same_here_as_where_the_numbers_were_made(split):
    assert mini_lambada.texts(split, 3) == mini_lambada.texts(split, 5)[:3]


def test_splits_share_no_passage():
    found = {s: set(mini_lambada.texts(s, 2000)) for s in mini_lambada.COUNTS}
    assert all(len(texts) == 2000 for texts in found.values())
    assert not found["train"] & found["test"]
    assert not found["train"] & found["calibration"]
    assert not found["calibration"] & found["test"]
    eighths = [set(e) for e in mini_lambada.EIGHTHS.values()]
    assert sum(map(len, eighths)) == len(set.union(*eighths)) == 8


def test_the_last_word_was_told_before_but_not_next_door():
    """Named in an earlier sentence; the last two tell nothing about it but the question."""
    for text in mini_lambada.texts("test", 500):
        *told, aside, last = text.split(". ")
        word = last.rsplit(" ", 1)[1]
        assert any(word in sentence.split() for sentence in told), text
        assert word not in aside.split() and word not in last.rsplit(" ", 1)[0].split(), text


def test_a_file_holds_a_passage_a_line(home):
    file = mini_lambada.file("test", 5)
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert lines == [{"text": text} for text in mini_lambada.texts("test", 5)]


def test_a_machine_that_draws_others_is_refused(monkeypatch):
    monkeypatch.setitem(mini_lambada.DIGESTS, "test", "0" * 64)
    with pytest.raises(QlabError, match="'test' came out different here .* than 3.11 did"):
        mini_lambada.texts("test", 5)
