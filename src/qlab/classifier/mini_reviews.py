"""`mini_reviews`: short reviews, made from a seed, that are in favour or against; SST-2's task.

Every review judges one to four sides of a place (the food, the staff). Which judgement counts is
for the words between them to say: the one behind `but`, the one that `although` does not govern,
the one that the writer says counts. And `not`, `never`, `hardly` turn a judgement round, while
`not only` does not. So no word decides alone: a model has to see which words belong together.

A split is named. A review belongs to the split that its own hash says, so no two splits can share
one; it depends on nothing but the split and its index.
"""

import hashlib
import platform
import random
import re
import zlib

import numpy as np

from qlab.classifier.sst2 import Sentences
from qlab.core.errors import QlabError

NAME = "mini_reviews"
COUNTS = {"train": 20_000, "calibration": 512, "test": 2000}
# Which eighths of all reviews, by crc32 of the text, belong to a split.
EIGHTHS = {"train": range(6), "calibration": (6,), "test": (7,)}
# sha256 over the texts and labels of the first 64 reviews of each split.
DIGESTS = {
    "train": "30d12c6c90679992f2c60398d5166fc9f3449a86dbffbdcb53538e61f71120c4",
    "calibration": "61d37f5f89223e1e841d2b4928875d4d47de7e20bfe60720f86591e12d046612",
    "test": "933e69c7848475c43b9d6d026baa27d73e1a9bcdfd239bb75fc64eee5c02c8ec",
}

_SIDES = """
    bar bathroom beds bill breakfast building coffee cook dessert dinner drinks food garden kitchen
    lights location lunch manager menu music owner parking pool prices reception room salad service
    soup staff tables tea terrace towels view waiter walls wifi windows wine
""".split()  # noqa: SIM905
_GOOD = """
    admirable amazing attractive beautiful bright brilliant calm charming clean comfortable cosy
    creative delicious delightful elegant excellent exciting fair fantastic fine fresh friendly
    generous good gorgeous graceful great handy heavenly helpful honest inviting kind lively lovely
    magnificent memorable modern neat nice outstanding perfect pleasant polished quick relaxing
    reliable rich smart spacious splendid superb tasty thoughtful tidy warm welcoming wonderful
""".split()  # noqa: SIM905
_BAD = """
    annoying awful bad bland boring broken careless chaotic cheap clumsy cold cramped crowded damp
    dark depressing dirty disappointing dreadful dull dusty faulty filthy foul greasy grim gloomy
    horrible hostile lazy mediocre messy miserable nasty noisy overpriced painful poor rude shabby
    sad slow sloppy smelly sour stale sticky stuffy tasteless terrible tired ugly unfair unfriendly
    unpleasant useless weak worn worthless
""".split()  # noqa: SIM905
_PLAIN = (
    "{side} was {word}",
    "{side} seemed {word}",
    "we found {side} {word}",
    "{side} felt {degree} {word}",
    "{side} was {degree} {word}",
    "i called {side} {word}",
)
_TURNED = (
    "{side} was not {word}",
    "{side} was never {word}",
    "{side} was hardly {word}",
    "nobody could call {side} {word}",
    "{side} was anything but {word}",
    "{side} was not {degree} {word} at all",
)
_KEPT = ("{side} was not only {word}", "nobody could call {side} less than {word}")
_DEGREES = ("very", "really", "quite", "rather", "truly", "so")
# How judgements are joined: {0} does not count, {1} does.
_JOINED = (
    "{0} but {1}",
    "although {0} , {1}",
    "{1} , although {0}",
    "{0} ; still , {1}",
    "despite the fact that {0} , {1}",
    "{1} , even if {0}",
    "{0} , yet what counts is that {1}",
    "what counts is that {1} , not that {0}",
)
_AGREED = ("{0} and {1}", "{0} , and besides , {1}", "{0} ; also , {1}")
_TURNS, _CONTRASTS, _AGREES = 0.25, 0.5, 0.3  # how often each happens


def _judgement(rng: random.Random, side: str, favour: bool) -> str:
    """A clause that is in favour of one side of the place, or against it."""
    turned = rng.random() < _TURNS
    ways = _TURNED if turned else _PLAIN + _KEPT
    words = _GOOD if favour != turned else _BAD
    parts = {"side": f"the {side}", "word": rng.choice(words), "degree": rng.choice(_DEGREES)}
    return rng.choice(ways).format(**parts)


def _draw(rng: random.Random) -> tuple[str, int]:
    """One review and its label: of the judgement that counts."""
    favour = rng.random() < 0.5
    sides = rng.sample(_SIDES, 3)
    counts = _judgement(rng, sides[0], favour)
    if rng.random() < _AGREES:
        way = rng.choice(_AGREED)
        counts = way.format(counts, _judgement(rng, sides[2], favour))
    if rng.random() < _CONTRASTS:
        counts = rng.choice(_JOINED).format(_judgement(rng, sides[1], not favour), counts)
    return f"{counts} .", int(favour)


def review(split: str, index: int) -> tuple[str, int]:
    """Review `index` of a split and its label, 1 in favour; the same on every machine."""
    rng = random.Random(f"mini_reviews {split} {index}")
    while True:
        text, label = _draw(rng)
        if zlib.crc32(text.encode()) % 8 in EIGHTHS[split]:
            return text, label


def digest(split: str) -> str:
    """sha256 over the texts and labels of the first 64 reviews of a split."""
    lines = (f"{text}\t{label}\n" for text, label in _drawn(split, 64))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _drawn(split: str, count: int) -> list[tuple[str, int]]:
    return [review(split, index) for index in range(count)]


def vocabulary() -> list[str]:
    """All words and marks that reviews are made of, sorted."""
    patterns = " ".join([*_PLAIN, *_TURNED, *_KEPT, *_JOINED, *_AGREED])
    found = re.sub(r"\{\w*\}", " ", patterns).split()
    return sorted({"the", ".", *found, *_SIDES, *_GOOD, *_BAD, *_DEGREES})


def load(split: str, count: int = 0) -> Sentences:
    """The first `count` reviews of a split, or all.

    QlabError: no such split, more reviews than it has, or a machine that makes other reviews than
    the ones the numbers of this project stand on.
    """
    if split not in COUNTS:
        raise QlabError(
            f"mini_reviews has the splits {', '.join(COUNTS)}; asked for was '{split}'."
        )
    if not 0 <= count <= COUNTS[split]:
        raise QlabError(f"{NAME} '{split}' has 1 to {COUNTS[split]} reviews, not {count}.")
    if digest(split) != DIGESTS[split]:
        raise QlabError(
            f"{NAME} '{split}' came out different here (its first 64 reviews hash to another "
            f"sha256): Python {platform.python_version()} draws other random numbers than 3.11 did."
        )
    texts, labels = zip(*_drawn(split, count or COUNTS[split]), strict=True)
    return Sentences(list(texts), np.array(labels, np.int64))
