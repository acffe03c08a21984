"""LAMBADA: passages whose last word has to be guessed from the whole of them (Paperno et al. 2016).

Read, split and tokenized as the task `lambada_openai` of lm-evaluation-harness 0.4.13 does it, so
that scores are comparable with published ones.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from qlab.core.errors import QlabError

log = logging.getLogger(__name__)
_FORM = 'jsonl with {"text": ...} in each line'


class Passage(NamedTuple):
    """A passage: `text` is `context`, one space, `word`."""

    text: str
    context: str
    word: str


class Encoded(NamedTuple):
    """A tokenized passage: the last `targets` of `tokens` are the word's.

    `dropped` tokens were cut off at the left because the passage is longer than the context.
    """

    tokens: list[int]
    targets: int
    dropped: int = 0


def read(path: Path) -> list[Passage]:
    """The passages of a jsonl file with a string `text` in each line; blank lines are skipped.

    QlabError, with the line's number, for one that is no such passage; and for a bad file.
    """
    if not path.is_file():
        raise QlabError(f"There is no LAMBADA file {path}; expected {_FORM}.")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise QlabError(f"{path} is not UTF-8 text ({error}); expected {_FORM}.") from error
    found = [_passage(x, f"{path}, line {i}") for i, x in enumerate(lines, 1) if x.strip()]
    if not found:
        raise QlabError(f"{path} is empty; expected {_FORM}.")
    passages, ended = zip(*found, strict=True)
    if any(ended):
        log.warning("%d passages of %s ended in white space, which was taken off.",
                    sum(ended), path)  # fmt: skip
    return list(passages)


class _Line(BaseModel):
    """A line of the file; what else stands in it is left alone."""

    text: str


def _passage(line: str, where: str) -> tuple[Passage, bool]:
    """The passage, and whether white space was taken off its end."""
    try:
        text = _Line.model_validate_json(line).text
        return split(text.rstrip(), where), text != text.rstrip()
    except ValidationError as error:
        first = error.errors()[0]
        raise QlabError(
            f'{where}: expected an object with a string "text" ({first["msg"]}); got {line[:60]}'
        ) from None


def split(text: str, where: str) -> Passage:
    """Divide a text at its last space; QlabError, beginning with `where`, if that is impossible."""
    context, _, word = text.rpartition(" ")
    if not context.strip() or not word.strip():
        raise QlabError(
            f"{where}: a passage needs a context, a space and a last word; got {text[-60:]!r}."
        )
    return Passage(text, context, word)


def last_sentence(passage: Passage) -> Passage:
    """The passage cut down to its last sentence: what does a model guess without the rest?

    Sentences end in . ! or ?, maybe quoted, before a space. Where the last word is all of the last
    sentence, the sentence before it stays.
    """
    starts = [0] + [match.end() for match in re.finditer(r"[.!?]['\"”’]*\s+", passage.context)]
    for start in reversed(starts):
        context = passage.context[start:]
        if context.strip():
            return Passage(f"{context} {passage.word}", context, passage.word)
    return passage


def encode(passages: Sequence[Passage], tokenizer, max_length: int) -> list[Encoded]:
    """Tokenize passages; `max_length` is the model's context in tokens.

    The whole text and the context (its trailing whitespace moved to the word) are tokenized, with
    special tokens; what the whole has beyond the context are the word's. A model reads all tokens
    but the last, so what is longer than `max_length + 1` loses its beginning. QlabError where a
    word has no tokens of its own or more than `max_length`.
    """
    wholes = _tokenize([p.text for p in passages], tokenizer)
    contexts = _tokenize([p.context.rstrip() for p in passages], tokenizer)
    pairs = zip(passages, wholes, contexts, strict=True)
    return [
        _encoded(
            whole, len(whole) - len(context), max_length, f"Passage {i} ('... {p.text[-40:]}')"
        )
        for i, (p, whole, context) in enumerate(pairs, 1)
    ]


def _encoded(whole: list[int], targets: int, max_length: int, where: str) -> Encoded:
    if targets < 1:
        raise QlabError(f"{where}: the tokenizer merges the last word with the context.")
    if targets > max_length:
        raise QlabError(
            f"{where}: the last word alone has {targets} tokens, more than the model's context of "
            f"{max_length}; leave the passage out or take a model with a longer context."
        )
    kept = whole[-(max_length + 1) :]
    return Encoded(kept, targets, len(whole) - len(kept))


def begins(tokenizer) -> bool:
    """Whether the tokenizer puts a token for the beginning of a text before it."""
    found = tokenizer("a")["input_ids"]
    return found[0] in (tokenizer.bos_token_id, tokenizer.cls_token_id) and len(found) > 1


def _tokenize(texts: list[str], tokenizer) -> list[list[int]]:
    """Token numbers of texts; a text that spells out its own BOS gets no second one, and one for
    the end, which some tokenizers add, is taken off: nothing but the word is judged."""
    prefix = tokenizer.bos_token_id
    if prefix is None:
        prefix = tokenizer.eos_token_id
    spelt = None if prefix is None else tokenizer.decode(prefix)
    plain = tokenizer("a")["input_ids"]
    ends = tokenizer.eos_token_id is not None and plain[-1] == tokenizer.eos_token_id
    found: list[list[int]] = [[]] * len(texts)
    for special in (True, False):
        here = [i for i, t in enumerate(texts) if special != (bool(spelt) and t.startswith(spelt))]
        if here:
            some = [texts[i] for i in here]
            # verbose: a text longer than the context is our business, not worth a warning.
            ids = tokenizer(
                some, add_special_tokens=special, return_attention_mask=False, verbose=False
            )["input_ids"]
            for i, tokens in zip(here, ids, strict=True):
                found[i] = tokens[:-1] if special and ends else tokens
    return found


def truncated(encoded: Sequence[Encoded]) -> int:
    """How many passages lost their beginning."""
    return sum(e.dropped > 0 for e in encoded)
