"""LAMBADA: passages whose last word has to be guessed from the whole of them (Paperno et al. 2016).

Read, split and tokenized as in the task `lambada_openai` of lm-evaluation-harness 0.4.13, so that
scores are comparable with published ones. Passages that judge serve no other purpose.
"""

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from qlab.core import paths
from qlab.core.cache import file_sha256, hash_json
from qlab.core.errors import QlabError
from qlab.files import fetch

log = logging.getLogger(__name__)
# Passages per profile; 0 means all of the file.
EVALUATION = {"smoke": 100, "mini": 1000, "small": 1000, "full": 0}
CALIBRATION = {"smoke": 16, "mini": 128, "small": 128, "full": 128}
TRAINING = {"smoke": 64, "mini": 4000, "small": 2000, "full": 4000}  # for adapters
EMBEDDED = "mini_lambada"  # as a value of 'calibration': the embedded calibration split


class Passage(NamedTuple):
    """A passage: `text` is `context`, one space, `word`."""

    text: str
    context: str
    word: str


class Encoded(NamedTuple):
    """A tokenized passage: the last `targets` of `tokens` are the word's; `dropped` tokens were cut
    off at the left because the passage is longer than the context."""

    tokens: list[int]
    targets: int
    dropped: int = 0


def read(path: Path) -> list[Passage]:
    """The passages of a jsonl file with a string `text` in each non-blank line. QlabError for an
    empty file, and, with the line's number, for a line that is no such passage."""
    found, ended = [], 0
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                text = json.loads(line)["text"]
                found.append(split(text.rstrip(), where))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                got = f"{line[:60].decode(errors='replace')} ({error!r})"
                raise QlabError(f'{where}: expected {{"text": ...}}; got {got}.') from None
            ended += text != text.rstrip()
    if not found:
        raise QlabError(f'{path} is empty; expected jsonl with {{"text": ...}} in each line.')
    if ended:
        log.warning("%d passages of %s ended in white space, which was taken off.", ended, path)
    return found


def split(text: str, where: str) -> Passage:
    """Divide a text at its last space; QlabError, beginning with `where`, if that is impossible."""
    context, _, word = text.rpartition(" ")
    if not context.strip() or not word.strip():
        needed = "a passage needs a context, a space and a last word"
        raise QlabError(f"{where}: {needed}; got {text[-60:]!r}.")
    return Passage(text, context, word)


def last_sentence(passage: Passage) -> Passage:
    """The passage cut down to its last sentence, plus the one before where the last is one word;
    sentences end in . ! or ?, perhaps with a quotation mark, before a space."""
    starts = [0] + [match.end() for match in re.finditer(r"[.!?]['\"”’]*\s+", passage.context)]
    contexts = [passage.context[start:] for start in starts]
    context = next(context for context in reversed(contexts) if context.strip())
    return Passage(f"{context} {passage.word}", context, passage.word)


def encode(passages: Sequence[Passage], tokenizer, max_length: int) -> list[Encoded]:
    """Tokenize passages; `max_length` is the model's context in tokens. The word's tokens are those
    of the whole text beyond the passage's context, whose trailing whitespace goes to the word. A
    model reads all tokens but the last, so a text longer than `max_length + 1` loses its beginning.
    QlabError where a word has no tokens of its own or more than `max_length`."""
    wholes = _tokenize([p.text for p in passages], tokenizer)
    contexts = _tokenize([p.context.rstrip() for p in passages], tokenizer)
    found = []
    for passage, whole, context in zip(passages, wholes, contexts, strict=True):
        targets = len(whole) - len(context)
        if not 1 <= targets <= max_length:
            raise QlabError(
                f"The last word of passage {len(found) + 1} ('... {passage.text[-40:]}') has "
                f"{max(targets, 0)} tokens of its own (0: merged with the context's), and 1 to "
                f"{max_length} are needed; leave the passage out or take another model."
            )
        kept = whole[-(max_length + 1) :]
        found.append(Encoded(kept, targets, len(whole) - len(kept)))
    return found


def begins(tokenizer) -> bool:
    """Whether the tokenizer puts a beginning-of-text token before a text."""
    found = tokenizer("a")["input_ids"]
    return found[0] in (tokenizer.bos_token_id, tokenizer.cls_token_id) and len(found) > 1


def _tokenize(texts: list[str], tokenizer) -> list[list[int]]:
    """Token ids of texts. A text that spells out BOS itself gets no second one, and an EOS, which
    some tokenizers add, is taken off: nothing but the word is judged."""
    spelt = tokenizer.bos_token or tokenizer.eos_token
    ended = tokenizer("a")["input_ids"][-1] == tokenizer.eos_token_id
    begun = begins(tokenizer) and bool(spelt)
    # verbose=False: a text longer than the context is handled here and needs no warning.
    ids = tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"]
    return [
        tokens[begun and text.startswith(spelt) : len(tokens) - ended]
        for text, tokens in zip(texts, ids, strict=True)
    ]


def digest(passages: list[Passage]) -> str:
    """sha256 of the passages' texts, in order."""
    return hash_json([p.text for p in passages])


def choose(given) -> tuple[str, list[Passage], list[Passage], list[Passage], list[str]]:
    """What the parameters of notebook 02 ask for, or QlabError: name of the dataset that judges,
    passages for judging, calibration and training, and notes. Without `calibration`, passages other
    than the embedded ones are split: the first calibrate, at most a quarter unless a count is
    given, and those left beyond `limit` can train."""
    own = bool(given.passages) or given.profile in ("small", "full")
    usual, count = CALIBRATION[given.profile], TRAINING[given.profile]
    notes, most, left = [], given.limit or EVALUATION[given.profile], []
    file = Path(given.passages).expanduser() if given.passages else None
    if own and not file:
        file = fetch.get("lambada")
    judging = read(file) if file else first(most, "test")
    if given.calibration or not own:
        held = first(given.calibration_count or usual, "calibration", given.calibration)
    else:
        number = given.calibration_count or min(usual, len(judging) // 4)
        told = f"{len(judging)} passages cannot be split into {number} that calibrate and others"
        held = judging[:number]
        judging = _without(judging[number:], held)  # wherever they are repeated
        if not held or not judging:
            raise QlabError(f"{told}; give more, or set calibration=mini_lambada.")
        told = f"the first {len(held)} passages calibrate, {len(judging)} others are there"
        notes.append(f"No calibration passages given: {told} to evaluate.")
    if most and len(judging) > most:
        notes.append(f"The first {most} of these {len(judging)} passages evaluate.")
        judging, left = judging[:most], judging[most:]
    if given.training or not own:
        taught = first(count, "train", given.training)
    else:
        taught = _without(left, [*judging, *held])[:count]
        notes += [f"{len(taught)} of those left are there to train adapters on."] * bool(taught)
    _refuse_overlap("calibration", held, judging)
    _refuse_overlap("training", taught, judging)
    dataset = file.stem if file else EMBEDDED
    if file and fetch.KNOWN["lambada"]["hash"] == f"sha256:{file_sha256(file)}":
        dataset = "lambada_openai"  # whatever the file is called
    return dataset, judging, held, taught, notes


def first(count: int, part: str, named: str = EMBEDDED) -> list[Passage]:
    """The first passages of a split of `mini_lambada` (train, calibration, test), or of a file."""
    own = paths.home() / "data" / EMBEDDED / f"{part}.jsonl"
    return read(own if named in ("", EMBEDDED) else Path(named).expanduser())[:count]


def _refuse_overlap(role: str, held: list[Passage], judging: list[Passage]) -> None:
    alone = {p.text for p in _without(held, judging)}
    if both := [p.text for p in held if p.text not in alone]:
        told = f"{len(both)} of {len(held)} {role} passages are among the evaluated ones too, first"
        first_one = f"'... {' '.join(both[0].split())[-40:]}'"
        raise QlabError(f"{told} {first_one}; give others, or none to have some held out.")


def _without(some: list[Passage], others: list[Passage]) -> list[Passage]:
    """Passages that are not among the others, whatever their spaces and line breaks."""
    seen = {tuple(p.text.split()) for p in others}
    return [p for p in some if tuple(p.text.split()) not in seen]
