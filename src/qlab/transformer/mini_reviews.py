"""`mini_reviews`: short reviews, made from a seed, that are in favour or against; SST-2's task.

Every review judges one to three sides of a place (the food, the staff). Which judgement counts is
for the words between them to say: the one behind `but`, the one that `although` does not govern.
And `not`, `never`, `hardly` turn a judgement round, while `not only` does not. So no word decides
alone: a model has to see which words belong together. A review belongs to the split that its own
hash says, so no two splits can share one.
"""

import functools
import hashlib
import random
import re
import zlib

import yaml

from qlab.core import paths
from qlab.core.errors import QlabError

NAME = "mini_reviews"
COUNTS = {"train": 20_000, "calibration": 512, "test": 2000}  # reviews of the splits
# Which eighths of all reviews, by crc32 of the text, belong to a split.
EIGHTHS = {"train": range(6), "calibration": (6,), "test": (7,)}
# sha256 over the texts and labels of the first 64 reviews of each split.
DIGESTS = {
    "train": "30d12c6c90679992f2c60398d5166fc9f3449a86dbffbdcb53538e61f71120c4",
    "calibration": "61d37f5f89223e1e841d2b4928875d4d47de7e20bfe60720f86591e12d046612",
    "test": "933e69c7848475c43b9d6d026baa27d73e1a9bcdfd239bb75fc64eee5c02c8ec",
}


@functools.cache
def _words() -> dict:
    """Words and patterns; lists of single words stand in the file as one text each."""
    content = yaml.safe_load((paths.home() / "data" / "mini_reviews.yaml").read_text("utf-8"))
    return {k: v.split() if isinstance(v, str) else v for k, v in content.items()}


def review(split: str, index: int) -> tuple[str, int]:
    """Review `index` of a split and its label, 1 in favour; the same on every machine."""
    rng = random.Random(f"mini_reviews {split} {index}")
    while True:
        text, label = _draw(rng, _words())
        if zlib.crc32(text.encode()) % 8 in EIGHTHS[split]:
            return text, label


def reviews(split: str, count: int) -> list[tuple[str, int]]:
    """The first `count` reviews of a split. QlabError where this machine makes other reviews than
    those that the numbers of this project stand on."""
    first = (f"{text}\t{label}\n" for text, label in (review(split, i) for i in range(64)))
    if hashlib.sha256("".join(first).encode()).hexdigest() != DIGESTS[split]:
        raise QlabError(
            f"mini_reviews '{split}' came out different here (its first 64 reviews hash to another "
            "value): this Python draws other random numbers than 3.11 did."
        )
    return [review(split, index) for index in range(count)]


def vocabulary() -> list[str]:
    """All words and marks that reviews are made of, sorted."""
    lists = (v for v in _words().values() if isinstance(v, list))
    found = re.sub(r"\{\w*\}", " ", " ".join(line for part in lists for line in part))
    return sorted({"the", ".", *found.split()})


def _draw(rng: random.Random, words: dict) -> tuple[str, int]:
    """One review and its label: of the judgement that counts."""
    favour, often = rng.random() < 0.5, words["often"]
    sides = rng.sample(words["sides"], 3)
    counts = _judgement(rng, words, sides[0], favour)
    if rng.random() < often["agreed"]:
        way = rng.choice(words["agreed"])
        counts = way.format(counts, _judgement(rng, words, sides[2], favour))
    if rng.random() < often["joined"]:
        way = rng.choice(words["joined"])
        counts = way.format(_judgement(rng, words, sides[1], not favour), counts)
    return f"{counts} .", int(favour)


def _judgement(rng: random.Random, words: dict, side: str, favour: bool) -> str:
    """A clause that is in favour of one side of the place, or against it."""
    turned = rng.random() < words["often"]["turned"]
    ways = words["turned"] if turned else words["plain"] + words["kept"]
    judged = words["good"] if favour != turned else words["bad"]
    parts = {"word": rng.choice(judged), "degree": rng.choice(words["degrees"])}
    return rng.choice(ways).format(side=f"the {side}", **parts)
