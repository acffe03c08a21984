"""What a language model says instead of the right word, and what kind of thing that is."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from qlab.language.lambada import Passage
from qlab.language.scoring import Scores

# The closed classes of English: determiners, pronouns, prepositions, conjunctions, auxiliaries.
FUNCTION_WORDS = frozenset(
    """a an and any are as at be been but by can could did do does for from had has have he her
    him his i if in into is it its me my no not of off on or our out she should so some than that
    the their them then there these they this those to up us was we were what when where which who
    will with would you your""".split()  # noqa: SIM905
)
KINDS = ("the right beginning", "from the passage", "another word", "function word",
         "fragment", "punctuation or end")  # fmt: skip
_WORD_STARTS = "Ġ▁"  # how byte-level BPE and SentencePiece mark a space before a token


def kind(piece: str, text: str, passage: Passage) -> str:
    """The kind of a predicted first token, one of KINDS: `piece` is the vocabulary's own writing of
    it, which says whether a word starts here, `text` what it decodes to."""
    plain = text.strip()
    if piece.startswith("<") and piece.endswith(">") or not any(c.isalnum() for c in plain):
        return "punctuation or end"
    if piece[:1] not in _WORD_STARTS:
        return "fragment"
    if passage.word.startswith(plain):
        return "the right beginning"
    if plain.lower() in FUNCTION_WORDS:
        return "function word"
    # The beginning of a word of the context.
    inside = any(word.startswith(plain) for word in passage.context.split())
    return "from the passage" if inside else "another word"


def kinds(scores: Mapping[str, Scores], passages: Sequence[Passage], tokenizer) -> pd.DataFrame:
    """How many of the most probable first tokens are wrong in which way: variant, kind, count, and
    wrong, all wrong answers of the variant."""
    rows = []
    for variant, one in scores.items():
        wrong = np.flatnonzero(one.first_rank > 0)
        spelt = _spelt(one.top_tokens[wrong, 0], tokenizer)
        found = [kind(*said, passages[i]) for said, i in zip(spelt, wrong, strict=True)]
        rows += [(variant, name, found.count(name), len(wrong)) for name in KINDS]
    return pd.DataFrame(rows, columns=["variant", "kind", "count", "wrong"])


def written(tokens: Sequence[int], tokenizer) -> list[str]:
    """Predicted tokens to be read: one that continues a word begins with `·`, a space is `␣`."""
    return [
        text.strip() or "␣" if piece[:1] in _WORD_STARTS else f"·{text}"
        for piece, text in _spelt(tokens, tokenizer)
    ]


def _spelt(tokens: Iterable[int], tokenizer) -> list[tuple[str, str]]:
    """Each token as the vocabulary writes it, and as it is decoded."""
    ids = [int(token) for token in tokens]
    pieces = tokenizer.convert_ids_to_tokens(ids)
    return [(piece, tokenizer.decode([i])) for piece, i in zip(pieces, ids, strict=True)]
