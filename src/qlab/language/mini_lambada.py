"""`mini_lambada`: short narratives whose last word only the whole passage tells.

In the form of LAMBADA (Paperno et al. 2016): the last word can be guessed from the
passage, not from its last sentence. Each passage states a few facts (who keeps
what, what lies where, who lives where, who taught whom) about people, things and
places of its own, tells other things in between, and ends with a sentence that
asks for one of the facts; its last word is the answer. The names of people and
places are put together from parts, so that many are new, and several tokens long.

A split is named. A passage belongs to the split that its own hash says, so no
two splits can share one; it depends on nothing but the split and its index.
"""

import hashlib
import json
import platform
import random
import re
import zlib
from pathlib import Path

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

_STARTS = """
    Al An Bel Bo Cor Da Den El Fa Fen Gar Hal Hes Il Jo Ka Lan Lo Mar Mi Nor Ol Or Pel Quen
    Ra Ros Sel Tam Tor Ul Ve Wil Yor Zan
""".split()  # noqa: SIM905
_MIDDLES = """
    a be da di do e fi ga i ka la le li lo ma mi na ni o ra re ri ro sa ta ti va vi
""".split()  # noqa: SIM905
_ENDS = """
    bel dan den dor fin gar las len lin mar mon nan nor rick ris rin ron sa sha ska tas ton
    vard ven win wyn
""".split()  # noqa: SIM905

THINGS = """
    anchor apple arrow axe bag ball banner barrel basket bell blanket boot bottle bowl box
    bracelet bridle broom brush bucket button cage cake candle cane cap carpet chain chair
    chest clock cloak coat coin comb compass crown cup curtain dagger diary doll drum
    feather fiddle flag flask flute fork glove goblet hammer harp hat helmet hook horn jar
    jacket jewel kettle key kite knife ladder lamp lantern letter lute map mask medal mirror
    mug nail necklace needle net oar orange painting paper parcel pear pearl pen pillow pipe
    pitcher plate pot purse quilt rake ribbon ring robe rope saddle sail saw scarf shawl
    shell shield shoe shovel spade spear spoon statue stool stove sword table teapot
    telescope tent torch towel trumpet umbrella vase violin wheel whistle
""".split()  # noqa: SIM905
PLACE_STARTS = """
    Ash Birch Black Brook Clear Cold Crow Deep East Elm Fair Fox Glen Gold Green Grey Hart Haw High
    Holm Iron Kings Lake Lamb Long Maple North Oak Old Raven Red Rose Salt Sand Silver South Spring
    Stone Summer Swan Thorn West White Winter Wolf
""".split()  # noqa: SIM905
PLACE_ENDS = """
    borough bridge bury cliff dale field ford gate ham haven hill hurst ley mere mouth port side
    stead ton wick wood worth
""".split()  # noqa: SIM905

# relation: (ways to state it, ways to ask for its first part, ways to ask for its second part)
_RELATIONS = {
    "keeps": (
        (
            "{a} carried a {b}.",
            "{a} had bought a {b} at the fair.",
            "{a} was proud of a {b}.",
            "The {b} had always belonged to {a}.",
            "Long ago {a} had been given a {b}.",
            "Everyone admired the {b} of {a}.",
        ),
        (
            "In the evening the {b} was given back to {a}",
            "Nobody was allowed to touch the {b} except {a}",
            "Because of the {b}, all eyes turned to {a}",
            "The one who missed the {b} most was {a}",
        ),
        (
            "Before going to bed, {a} cleaned the {b}",
            "With a smile {a} held up the {b}",
            "In the end, for a good price, {a} sold the {b}",
            "All day long {a} would not let go of the {b}",
        ),
    ),
    "lies": (
        (
            "Somebody had hidden a {a} in {b}.",
            "The {a} was kept in {b}.",
            "In {b} there was a {a}.",
            "They had left the {a} in {b}.",
            "Near the gate of {b} stood a {a}.",
        ),
        (
            "Whoever came to {b} first saw the {a}",
            "The thief ran away from {b} with the {a}",
            "Nothing was left in {b} but the {a}",
        ),
        (
            "To fetch the {a} they had to go to {b}",
            "After a long search the {a} was found in {b}",
            "If you want the {a}, said the old man, look in {b}",
        ),
    ),
    "lives": (
        (
            "{a} lived in {b}.",
            "{a} had worked for years in {b}.",
            "{b} was the home of {a}.",
            "Every night {a} slept in {b}.",
            "In {b} everybody knew {a}.",
        ),
        (
            "When smoke rose from {b}, people ran to warn {a}",
            "At the gate of {b} they asked for {a}",
            "A light still burned in {b}, for there sat {a}",
        ),
        (
            "When it grew dark, {a} walked back to {b}",
            "Tired of the noise, {a} returned to {b}",
            "All letters for {a} were sent to {b}",
        ),
    ),
    "teaches": (
        (
            "{a} had taught {b} to read.",
            "{a} was the teacher of {b}.",
            "Everything {b} knew had come from {a}.",
            "Years before, {a} had saved the life of {b}.",
            "As a child, {b} had been raised by {a}.",
        ),
        (
            "Full of thanks, {b} never forgot {a}",
            "When in doubt, {b} asked for the advice of {a}",
            "Of all people {b} trusted only {a}",
        ),
        (
            "With pride {a} spoke about {b}",
            "Like a parent {a} watched over {b}",
            "In a last letter {a} left everything to {b}",
        ),
    ),
}  # fmt: skip
_PARTS = {
    "keeps": ("person", "thing"),
    "lies": ("thing", "place"),
    "lives": ("person", "place"),
    "teaches": ("person", "person"),
}
_SKIES = (
    "It was a cold morning.",
    "The rain had stopped at last.",
    "Snow lay on the hills.",
    "The summer had been long and dry.",
    "A warm wind came from the sea.",
    "The moon was up.",
    "It was the first day of autumn.",
    "Fog covered the river.",
    "The sun was about to set.",
    "Nobody had slept well.",
)
_ASIDES = (
    "The dogs barked.",
    "Somewhere a door was shut.",
    "Children were singing in the street.",
    "No one said a word.",
    "There was soup for everybody.",
    "An old song was sung.",
    "The road was long and full of stones.",
    "Two riders passed without a greeting.",
    "The bells rang twice.",
    "It was too late to turn back.",
    "The fire had gone out.",
    "People talked about the war and the price of corn.",
    "The wind grew stronger.",
    "A cat slept on the wall.",
    "They laughed until it hurt.",
    "Then everything was quiet again.",
    "The boats came in with little fish.",
    "A stranger asked for the way.",
    "That was how it had always been.",
    "Nobody knew what to do next.",
    "The night was full of stars.",
    "Bread and wine were brought.",
    "The horses needed water.",
    "An hour went by.",
)
_VISITS = (
    "{a} met {b} on the road.",
    "{a} and {b} shared a meal.",
    "{b} laughed at a joke that {a} told.",
    "{a} waved to {b}.",
    "For a while {a} walked beside {b}.",
)


def _name(rng: random.Random) -> str:
    """A name of two or three syllables out of some 27,000."""
    middle = rng.choice(_MIDDLES) if rng.random() < 0.6 else ""
    return rng.choice(_STARTS) + middle + rng.choice(_ENDS)


def _distinct(draw, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[draw()] = None
    return list(found)


def _facts(rng: random.Random, count: int, people: list[str]) -> list[tuple[str, str, str]]:
    """`count` facts (relation, first part, second part); no thing and no place occurs in two."""
    things = rng.sample(THINGS, count)
    places = _distinct(lambda: rng.choice(PLACE_STARTS) + rng.choice(PLACE_ENDS), count)
    facts = []
    for relation in rng.choices(list(_PARTS), k=count):
        free = {"person": rng.sample(people, 2), "thing": things, "place": places}
        facts.append((relation, *(free[part].pop() for part in _PARTS[relation])))
    return facts


def _ask(rng: random.Random, fact: tuple[str, str, str], facts: list) -> str | None:
    """A last sentence that asks for a part of `fact`; None where another fact answers it too."""
    relation, first, second = fact
    side = rng.randrange(2)
    given = fact[2 - side]
    rivals = [f for f in facts if f[0] == relation and f[2 - side] == given]
    if len(rivals) > 1:
        return None
    return _say(rng.choice(_RELATIONS[relation][1 + side]), first, second)


def _tell(rng: random.Random, fact: tuple[str, str, str], used: str = "") -> str:
    """One of the ways to state a fact, as a template; not the one that was used before."""
    ways = [way for way in _RELATIONS[fact[0]][0] if way != used]
    return rng.choice(ways)


def _say(template: str, first: str, second: str) -> str:
    sentence = template.format(a=first, b=second)
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", sentence)


def _draw(rng: random.Random) -> str | None:
    """One passage without its final full stop, or None where the draw has no single answer."""
    people = _distinct(lambda: _name(rng), 4)
    facts = _facts(rng, rng.choice((3, 4)), people)
    last = _ask(rng, rng.choice(facts), facts)
    if last is None:
        return None
    ways = [_tell(rng, fact) for fact in facts]
    body = [_say(way, *fact[1:]) for way, fact in zip(ways, facts, strict=True)]
    body += [_say(rng.choice(_VISITS), *rng.sample(people, 2)), rng.choice(_ASIDES)]
    again = rng.randrange(len(facts))  # a fact told twice, in other words
    body.append(_say(_tell(rng, facts[again], ways[again]), *facts[again][1:]))
    rng.shuffle(body)
    # The sentence before the last tells nothing, so that the answer is never next door.
    return " ".join([rng.choice(_SKIES), *body, rng.choice(_ASIDES), last])


def passage(split: str, index: int) -> str:
    """Passage `index` of a split; the same on every machine."""
    rng = random.Random(f"mini_lambada {split} {index}")
    while True:
        text = _draw(rng)
        if text is not None and zlib.crc32(text.encode()) % 8 in EIGHTHS[split]:
            return text


def texts(split: str, count: int) -> list[str]:
    """The first `count` passages of a split.

    QlabError: another split.
    """
    if split not in COUNTS:
        raise QlabError(
            f"mini_lambada has the splits {', '.join(COUNTS)}; asked for was '{split}'."
        )
    return [passage(split, index) for index in range(count)]


def digest(split: str) -> str:
    """sha256 over the first 64 passages of a split."""
    return hashlib.sha256("\n".join(texts(split, 64)).encode()).hexdigest()


def write_jsonl(target: Path, split: str, count: int) -> Path:
    """Write a split in LAMBADA's form, one {"text": ...} a line.

    Raises QlabError when this machine makes other passages than the ones the
    numbers of this project stand on.
    """
    if (found := digest(split)) != DIGESTS[split]:
        raise QlabError(
            f"mini_lambada '{split}' came out different here (its first 64 passages hash to "
            f"{found[:12]}..., expected {DIGESTS[split][:12]}...): Python "
            f"{platform.python_version()} draws other random numbers than 3.11 did."
        )
    lines = (json.dumps({"text": text}) + "\n" for text in texts(split, count))
    with written_whole(target) as part:
        part.write_text("".join(lines), encoding="utf-8")
    return target
