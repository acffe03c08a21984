"""`mini_lambada`: short narratives whose last word only the whole passage tells.

In the form of LAMBADA (Paperno et al. 2016). Each passage states a few facts (who keeps what, what
lies where, who lives where, who taught whom) among other things, and ends with a sentence whose
last word is one of them. Names are put together from parts, so that many are new. A passage belongs
to the split that its own hash says, so no two splits can share one.
"""

import functools
import random
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import yaml

from qlab.core import paths
from qlab.core.cache import check_drawn

COUNTS = {"train": 105_600, "calibration": 256, "test": 2000}  # passages of the splits
# Which eighths of all passages, by crc32 of the text, belong to a split.
EIGHTHS = {"train": range(6), "calibration": (6,), "test": (7,)}
# sha256 over the texts of the first 64 passages of each split.
DIGESTS = {
    "train": "ba2eab791f12f22a290ea59a783fbe774605e38c44fc739af7956916ca112703",
    "calibration": "4ae0ca58cbe255d8f2d6a5302b4ae36cfd1c6f32706ad1c451fdce7e84a14406",
    "test": "ab91574ceddeb4fcf83f9b2f7dde6981fc2b1dd4851246bcdb3d1f62ff2e0fdc",
}


@functools.cache
def _words(home: Path) -> dict:
    """The lists of words and sentences; those of single words stand in the file as one text."""
    content = yaml.safe_load((home / "data" / "mini_lambada.yaml").read_text(encoding="utf-8"))
    return {k: v.split() if isinstance(v, str) else v for k, v in content.items()}


def passage(split: str, index: int) -> str:
    """Passage `index` of a split, without its last full stop; the same on every machine."""
    rng, words = random.Random(f"mini_lambada {split} {index}"), _words(paths.home())
    while True:
        text = _draw(rng, words)
        if text is not None and zlib.crc32(text.encode()) % 8 in EIGHTHS[split]:
            return text


def texts(split: str, count: int) -> list[str]:
    """The first `count` passages of a split; QlabError where this machine makes other passages than
    those that the numbers of this project stand on."""
    made = [passage(split, index) for index in range(max(count, 64))]
    check_drawn(f"mini_lambada '{split}'", "\n".join(made[:64]).encode(), DIGESTS[split])
    return made[:count]


def _draw(rng: random.Random, words: dict) -> str | None:
    """A passage; None where another fact answers its question too."""
    people, relations = _distinct(lambda: _person(rng, words), 4), words["relations"]
    facts = _facts(rng, words, rng.choice((3, 4)), people)
    kind, *parts = rng.choice(facts)
    asked = rng.randrange(2)  # for which part; the other one is given
    if sum(k == kind and told[1 - asked] == parts[1 - asked] for k, *told in facts) > 1:
        return None
    last = _say(rng.choice(relations[kind][("first", "second")[asked]]), *parts)
    ways = [rng.choice(relations[kind]["told"]) for kind, *_ in facts]
    body = [_say(way, *told) for way, (_, *told) in zip(ways, facts, strict=True)]
    body += [_say(rng.choice(words["visits"]), *rng.sample(people, 2)), rng.choice(words["asides"])]
    again = rng.randrange(len(facts))  # a fact told twice, in other words
    kind, *told = facts[again]
    others = [way for way in relations[kind]["told"] if way != ways[again]]
    body += [_say(rng.choice(others), *told)]
    rng.shuffle(body)
    # The sentence before the last tells nothing, so that the answer is never next door.
    return " ".join([rng.choice(words["skies"]), *body, rng.choice(words["asides"]), last])


def _facts(rng: random.Random, words: dict, count: int, people: list[str]) -> list[tuple[str, ...]]:
    """(relation, first part, second part) of each; no thing and no place is in two."""
    free, ends = {"thing": rng.sample(words["things"], count)}, ("place_starts", "place_ends")
    free["place"] = _distinct(lambda: "".join(rng.choice(words[end]) for end in ends), count)
    facts = []
    for relation in rng.choices(list(words["relations"]), k=count):
        free["person"] = rng.sample(people, 2)
        parts = words["relations"][relation]["parts"]
        facts.append((relation, *(free[part].pop() for part in parts)))
    return facts


def _person(rng: random.Random, words: dict) -> str:
    """Two or three syllables out of some 27,000 combinations."""
    middle = rng.choice(words["name_middles"]) if rng.random() < 0.6 else ""
    return rng.choice(words["name_starts"]) + middle + rng.choice(words["name_ends"])


def _distinct(draw: Callable[[], str], count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[draw()] = None
    return list(found)


def _say(template: str, first: str, second: str) -> str:
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", template.format(a=first, b=second))
