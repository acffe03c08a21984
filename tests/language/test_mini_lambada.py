"""mini_lambada: no split shares a passage; the answer is told before, not in the last sentence."""

import json

import pytest

from qlab.core.errors import QlabError
from qlab.language import embedded, lambada, mini_lambada


def sentences(text: str) -> list[str]:
    return text.split(". ")


@pytest.mark.parametrize("split", mini_lambada.COUNTS)
def test_a_split_is_the_same_here_as_where_the_numbers_were_made(split):
    assert mini_lambada.digest(split) == mini_lambada.DIGESTS[split]
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
        *told, aside, last = sentences(text)
        word = last.rsplit(" ", 1)[1]
        assert any(word in sentence.split() for sentence in told), text
        assert word not in aside.split() and word not in last.rsplit(" ", 1)[0].split(), text


def test_only_one_fact_answers_the_question():
    """A relation asked for one part names the other; no second fact has that other part."""
    import random

    facts = [("teaches", "A", "B"), ("teaches", "A", "C"), ("lives", "A", "D")]
    words = mini_lambada._words(mini_lambada.words_file())
    draws = [mini_lambada._Draw(random.Random(i), words) for i in range(40)]
    asked = {draw.ask(facts[0], facts) for draw in draws}
    assert None in asked  # "A spoke about ..." has two answers
    assert {last.rsplit(" ", 1)[1] for last in asked if last} == {"A"}  # who taught B has one


def test_a_file_has_lambadas_form(home):
    file = embedded.mini_lambada_file("calibration", 7)
    lines = file.read_text().splitlines()
    assert [set(json.loads(line)) for line in lines] == [{"text"}] * 7
    assert [p.text for p in lambada.read(file)] == mini_lambada.texts("calibration", 7)


def test_other_passages_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(mini_lambada.DIGESTS, "test", "0" * 64)
    with pytest.raises(QlabError, match="came out different here .* expected 000000000000"):
        mini_lambada.write_jsonl(tmp_path / "t.jsonl", "test", 1)
    assert not list(tmp_path.iterdir())
