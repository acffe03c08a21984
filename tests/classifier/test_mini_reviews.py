"""mini_reviews: no split shares a review, no word decides alone, and the label is what it says."""

from collections import Counter

import numpy as np
import pytest

from qlab.classifier import mini_reviews
from qlab.core.errors import QlabError


@pytest.mark.parametrize("split", mini_reviews.COUNTS)
def test_a_split_is_the_same_here_as_where_the_numbers_were_made(split):
    assert mini_reviews.digest(split) == mini_reviews.DIGESTS[split]
    few, more = mini_reviews.load(split, 3), mini_reviews.load(split, 5)
    assert few.texts == more.texts[:3] and few.labels.tolist() == more.labels[:3].tolist()


def test_splits_share_no_review():
    found = {
        s: set(mini_reviews.load(s, min(n, 2000)).texts) for s, n in mini_reviews.COUNTS.items()
    }
    assert not found["train"] & found["test"] and not found["calibration"] & found["test"]
    assert not found["train"] & found["calibration"]
    eighths = [set(e) for e in mini_reviews.EIGHTHS.values()]
    assert sum(map(len, eighths)) == len(set.union(*eighths)) == 8


def test_no_word_decides_alone():
    """Not even all words together, each with what it says on its own (naive Bayes)."""
    train, test = mini_reviews.load("train", 8000), mini_reviews.load("test")
    seen = [Counter(), Counter()]
    for text, label in zip(*train, strict=True):
        seen[label].update(set(text.split()))
    weight = {w: np.log((seen[1][w] + 1) / (seen[0][w] + 1)) for w in mini_reviews.vocabulary()}
    votes = [sum(weight[w] for w in set(text.split())) > 0 for text in test.texts]
    assert 0.55 < (test.labels == votes).mean() < 0.75
    assert 0.45 < test.labels.mean() < 0.55


def test_the_vocabulary_has_all_words():
    words = {word for text in mini_reviews.load("test").texts for word in text.split()}
    assert words == set(mini_reviews.vocabulary())


def test_words_turn_judgements_round(monkeypatch):
    monkeypatch.setattr(mini_reviews, "_TURNED", ("{side} was not {word}",))
    import random

    for favour in (True, False):
        for seed in range(40):
            told = mini_reviews._judgement(random.Random(seed), "soup", favour)
            good = set(told.split()) & set(mini_reviews._GOOD)
            assert bool(good) == (favour != (" not " in told and "not only" not in told)), told


def test_what_is_not_there_or_came_out_different(monkeypatch):
    with pytest.raises(QlabError, match="splits train, calibration, test; asked for was 'dev'"):
        mini_reviews.load("dev")
    with pytest.raises(QlabError, match="'test' has 1 to 2000 reviews, not 2001"):
        mini_reviews.load("test", 2001)
    monkeypatch.setitem(mini_reviews.DIGESTS, "test", "0" * 64)
    with pytest.raises(QlabError, match="'test' came out different here"):
        mini_reviews.load("test", 1)
