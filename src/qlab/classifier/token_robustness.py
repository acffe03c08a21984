"""Worse copies of tokenized sentences: does a classifier hold where words go missing?"""

from collections.abc import Iterator, Mapping

import numpy as np

from qlab.core.errors import QlabError

KINDS = ("unknown", "swapped")
SHARES = (0.1, 0.2, 0.4)  # of a sentence's words that are hit, by strength 1 to 3


def names() -> list[str]:
    """All corruptions by name, `unknown1` to `swapped3`: a kind and its strength."""
    return [f"{kind}{strength}" for kind in KINDS for strength in range(1, len(SHARES) + 1)]


def corrupted(tokens: Mapping[str, np.ndarray], name: str, unknown: int) -> dict[str, np.ndarray]:
    """Worse copies of sentences, int32 [n, length] by input; `name` one of `names()`.

    `unknown` puts the id of unknown words in the place of some, `swapped` exchanges some with the
    word behind them. The first and the last token of each sentence, which are no words, stay. What
    is hit depends on the sentence's place alone. QlabError for another name.
    """
    if name not in names():
        raise QlabError(f"There is no corruption '{name}'; there are {', '.join(names())}.")
    kind, share = name[:-1], SHARES[int(name[-1]) - 1]
    ids = tokens["input_ids"].copy()
    for place, (row, length) in enumerate(zip(ids, tokens["attention_mask"].sum(1), strict=True)):
        words = row[1 : length - 1]  # a view: what is changed there is changed in `ids`
        hit = np.flatnonzero(np.random.default_rng(place).random(len(words)) < share)
        if kind == "unknown":
            words[hit] = unknown
        else:
            _swap(words, hit)
    return {**tokens, "input_ids": ids}


def _swap(words: np.ndarray, places: np.ndarray) -> None:
    """Exchange the words at these places with those behind them, one after the other."""
    for place in places[places < len(words) - 1]:
        words[[place, place + 1]] = words[[place + 1, place]]


def corrupted_sets(
    tokens: Mapping[str, np.ndarray], unknown: int
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Each corruption's name and its copies of the sentences, one set at a time in memory."""
    return ((name, corrupted(tokens, name, unknown)) for name in names())
