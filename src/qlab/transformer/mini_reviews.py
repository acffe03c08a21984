"""`mini_reviews`: short reviews generated from a seed, in favour or against; SST-2's task.

A review judges one to three aspects of a place. The words between them (`but`, `although`) decide
which judgement counts; `not` or `hardly` reverses one, while `not only` does not: no word decides
alone. A review belongs to the split that its own hash names, so no two splits share one.
"""

import functools
import random
import zlib

import yaml

from qlab.core import paths
from qlab.core.cache import check_drawn

NAME, COUNTS = "mini_reviews", {"train": 20_000, "calibration": 512, "test": 2000}
# Which eighths of all reviews, by crc32 of the text, belong to a split.
EIGHTHS = {"train": range(6), "calibration": (6,), "test": (7,)}
# sha256 over the texts and labels of the first 64 reviews of each split.
DIGESTS = {
    "train": "30d12c6c90679992f2c60398d5166fc9f3449a86dbffbdcb53538e61f71120c4",
    "calibration": "61d37f5f89223e1e841d2b4928875d4d47de7e20bfe60720f86591e12d046612",
    "test": "933e69c7848475c43b9d6d026baa27d73e1a9bcdfd239bb75fc64eee5c02c8ec",
}


@functools.cache
def words() -> dict:
    """Words and patterns; the file has a list of single words as one string."""
    content = yaml.safe_load((paths.home() / "data" / "mini_reviews.yaml").read_text("utf-8"))
    return {k: v.split() if isinstance(v, str) else v for k, v in content.items()}


def reviews(split: str, count: int) -> list[tuple[str, int]]:
    """The first `count` reviews of a split and their labels, 1 in favour. QlabError if this machine
    generates others than those on which this project's numbers rest."""
    first = (f"{text}\t{label}\n" for text, label in (_review(split, i) for i in range(64)))
    check_drawn(f"{NAME} '{split}'", "".join(first).encode(), DIGESTS[split])
    return [_review(split, index) for index in range(count)]


def _review(split: str, index: int) -> tuple[str, int]:
    rng = random.Random(f"mini_reviews {split} {index}")
    while True:
        favour, often = rng.random() < 0.5, words()["often"]
        sides = rng.sample(words()["sides"], 3)
        text = _judgement(rng, sides[0], favour)
        if rng.random() < often["agreed"]:
            way = rng.choice(words()["agreed"])
            text = way.format(text, _judgement(rng, sides[2], favour))
        if rng.random() < often["joined"]:
            way = rng.choice(words()["joined"])
            text = way.format(_judgement(rng, sides[1], not favour), text)
        if zlib.crc32(f"{text} .".encode()) % 8 in EIGHTHS[split]:
            return f"{text} .", int(favour)


def _judgement(rng: random.Random, side: str, favour: bool) -> str:
    """A clause that is in favour of one aspect of the place, or against it."""
    turned = rng.random() < words()["often"]["turned"]
    ways = words()["turned"] if turned else words()["plain"] + words()["kept"]
    judged = words()["good" if favour != turned else "bad"]
    parts = {"word": rng.choice(judged), "degree": rng.choice(words()["degrees"])}
    return rng.choice(ways).format(side=f"the {side}", **parts)
