"""`mini_lambada`: short narratives whose last word only the whole passage tells.

In the form of LAMBADA (Paperno et al. 2016). Each passage states a few facts (who keeps what, what
lies where, who lives where, who taught whom), tells other things in between, and ends with a
sentence that asks for one of the facts; its last word is the answer. Names are put together from
parts, so that many are new, and several tokens long. A passage belongs to the split that its own
hash says, so no two splits can share one.
"""

import hashlib
import json
import platform
import random
import re
import zlib
from functools import cache
from pathlib import Path

import yaml

from qlab.core import paths
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError

COUNTS = {"train": 105_600, "calibration": 256, "test": 2000}  # passages of the splits
# Which eighths of all passages, by crc32 of the text, belong to a split.
EIGHTHS = {"train": range(6), "calibration": (6,), "test": (7,)}
# sha256 over the texts of the first 64 passages of each split.
DIGESTS = {
    "train": "ba2eab791f12f22a290ea59a783fbe774605e38c44fc739af7956916ca112703",
    "calibration": "4ae0ca58cbe255d8f2d6a5302b4ae36cfd1c6f32706ad1c451fdce7e84a14406",
    "test": "ab91574ceddeb4fcf83f9b2f7dde6981fc2b1dd4851246bcdb3d1f62ff2e0fdc",
}


def words_file() -> Path:
    """The lists of words and sentences."""
    return paths.home() / "data" / "mini_lambada.yaml"


@cache
def _words(file: Path) -> dict:
    """The file's content; lists of single words stand in it as one text each."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {k: v.split() if isinstance(v, str) else v for k, v in content.items()}


class _Draw:
    """One passage, drawn from `_words`."""

    def __init__(self, rng: random.Random, words: dict):
        self.rng, self.words, self.relations = rng, words, words["relations"]

    def name(self) -> str:
        """Of a person: two or three syllables out of some 27,000 combinations."""
        starts, middles, ends = (self.words[f"name_{p}"] for p in ("starts", "middles", "ends"))
        middle = self.rng.choice(middles) if self.rng.random() < 0.6 else ""
        return self.rng.choice(starts) + middle + self.rng.choice(ends)

    def place(self) -> str:
        """A place's name."""
        starts, ends = self.words["place_starts"], self.words["place_ends"]
        return self.rng.choice(starts) + self.rng.choice(ends)

    def facts(self, count: int, people: list[str]) -> list[tuple[str, str, str]]:
        """`count` facts (relation, first part, second part); no thing and no place is in two."""
        things = self.rng.sample(self.words["things"], count)
        places = _distinct(self.place, count)
        facts = []
        for relation in self.rng.choices(list(self.relations), k=count):
            free = {"person": self.rng.sample(people, 2), "thing": things, "place": places}
            parts = (free[part].pop() for part in self.relations[relation]["parts"])
            facts.append((relation, *parts))
        return facts

    def ask(self, fact: tuple[str, str, str], facts: list) -> str | None:
        """A last sentence that asks for a part of `fact`; None where another answers it too."""
        relation, first, second = fact
        side = self.rng.randrange(2)
        given = fact[2 - side]
        rivals = [f for f in facts if f[0] == relation and f[2 - side] == given]
        if len(rivals) > 1:
            return None
        ways = self.relations[relation][("first", "second")[side]]
        return _say(self.rng.choice(ways), first, second)

    def tell(self, fact: tuple[str, str, str], used: str = "") -> str:
        """One of the ways to state a fact, as a template; not the one that was used before."""
        ways = [way for way in self.relations[fact[0]]["told"] if way != used]
        return self.rng.choice(ways)

    def passage(self) -> str | None:
        """Without its final full stop; None where the draw has no single answer."""
        rng, words = self.rng, self.words
        people = _distinct(self.name, 4)
        facts = self.facts(rng.choice((3, 4)), people)
        last = self.ask(rng.choice(facts), facts)
        if last is None:
            return None
        ways = [self.tell(fact) for fact in facts]
        body = [_say(way, *fact[1:]) for way, fact in zip(ways, facts, strict=True)]
        body += [_say(rng.choice(words["visits"]), *rng.sample(people, 2))]
        body += [rng.choice(words["asides"])]
        again = rng.randrange(len(facts))  # a fact told twice, in other words
        body.append(_say(self.tell(facts[again], ways[again]), *facts[again][1:]))
        rng.shuffle(body)
        # The sentence before the last tells nothing, so that the answer is never next door.
        return " ".join([rng.choice(words["skies"]), *body, rng.choice(words["asides"]), last])


def _distinct(draw, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[draw()] = None
    return list(found)


def _say(template: str, first: str, second: str) -> str:
    sentence = template.format(a=first, b=second)
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", sentence)


def passage(split: str, index: int) -> str:
    """Passage `index` of a split; the same on every machine."""
    draw = _Draw(random.Random(f"mini_lambada {split} {index}"), _words(words_file()))
    while True:
        text = draw.passage()
        if text is not None and zlib.crc32(text.encode()) % 8 in EIGHTHS[split]:
            return text


def texts(split: str, count: int) -> list[str]:
    """The first `count` passages of a split."""
    return [passage(split, index) for index in range(count)]


def digest(split: str) -> str:
    """sha256 over the first 64 passages of a split."""
    return hashlib.sha256("\n".join(texts(split, 64)).encode()).hexdigest()


def write_jsonl(target: Path, split: str, count: int) -> Path:
    """Write a split in LAMBADA's form; QlabError where this machine makes other passages than those
    that the numbers of this project stand on."""
    if (found := digest(split)) != DIGESTS[split]:
        raise QlabError(
            f"mini_lambada '{split}' came out different here (hash {found[:12]}..., expected "
            f"{DIGESTS[split][:12]}...): Python {platform.python_version()} draws other random "
            "numbers than 3.11 did."
        )
    lines = (json.dumps({"text": text}) + "\n" for text in texts(split, count))
    with written_whole(target) as part:
        part.write_text("".join(lines), encoding="utf-8")
    return target
