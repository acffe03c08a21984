"""mini_lambada: no split shares a passage; the answer is told before, not in the last sentence."""

import itertools

import pytest

from qlab.core.errors import QlabError
from qlab.language import mini_lambada


def test_splits_are_the_same_here_as_where_the_numbers_were_made_and_share_no_passage():
    found = {split: mini_lambada.texts(split, 2000) for split in mini_lambada.COUNTS}
    for split, texts in found.items():
        assert len(texts) == 2000 and mini_lambada.texts(split, 3) == texts[:3]
    for one, other in itertools.combinations(found.values(), 2):
        assert not set(one) & set(other)
    eighths = [set(e) for e in mini_lambada.EIGHTHS.values()]
    assert sum(map(len, eighths)) == len(set.union(*eighths)) == 8


def test_the_last_word_was_told_before_but_not_next_door():
    """Named in an earlier sentence; the last two tell nothing about it but the question."""
    for text in mini_lambada.texts("test", 500):
        *told, aside, last = text.split(". ")
        word = last.rsplit(" ", 1)[1]
        assert any(word in sentence.split() for sentence in told), text
        assert word not in aside.split() and word not in last.rsplit(" ", 1)[0].split(), text


def test_a_machine_that_draws_others_is_refused(monkeypatch):
    monkeypatch.setitem(mini_lambada.DIGESTS, "test", "0" * 64)
    with pytest.raises(QlabError, match="'test' came out different here .*requirements.lock"):
        mini_lambada.texts("test", 5)
