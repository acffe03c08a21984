"""Reviews are the same on every machine, no split shares one, and no word decides alone."""

import pytest

from qlab.core.errors import QlabError
from qlab.transformer import mini_reviews

REVIEWS = {split: mini_reviews.reviews(split, 500) for split in mini_reviews.COUNTS}


def test_splits_share_no_review_and_each_is_as_often_for_as_against():
    texts = {split: {text for text, _ in pairs} for split, pairs in REVIEWS.items()}
    assert len(set.union(*texts.values())) == sum(map(len, texts.values()))
    assert mini_reviews.reviews("test", 3) == REVIEWS["test"][:3]
    assert all(0.4 < sum(label for _, label in p) / 500 < 0.6 for p in REVIEWS.values())


def test_good_words_alone_do_not_decide():
    good, bad = (set(mini_reviews.words()[kind]) for kind in ("good", "bad"))

    def counted(text):
        return sum((w in good) - (w in bad) for w in text.split())

    guesses = [(counted(text) > 0) == label for text, label in REVIEWS["test"] if counted(text)]
    ties = sum(counted(text) == 0 for text, _ in REVIEWS["test"])
    assert sum(guesses) / len(guesses) < 0.85 and ties > 100


def test_another_order_of_the_words_is_refused(monkeypatch):
    changed = mini_reviews.words() | {"good": mini_reviews.words()["good"][::-1]}
    monkeypatch.setattr(mini_reviews, "words", lambda: changed)
    with pytest.raises(QlabError, match="mini_reviews 'test' came out different here"):
        mini_reviews.reviews("test", 1)
