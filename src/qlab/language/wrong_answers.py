"""What a language model says instead of the right word, and what kind of thing that is."""

from collections.abc import Mapping, Sequence

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
    """The kind of a predicted first token.

    `piece` is the vocabulary's own writing of it (its first character says whether a word starts
    here), `text` what it decodes to. A name's first syllable counts as `from the passage` if a word
    of the context starts with it; a `fragment` continues a word.
    """
    plain = text.strip()
    if piece.startswith("<") and piece.endswith(">") or not any(c.isalnum() for c in plain):
        return "punctuation or end"
    if piece[:1] not in _WORD_STARTS:
        return "fragment"
    if passage.word.startswith(plain):
        return "the right beginning"
    if plain.lower() in FUNCTION_WORDS:
        return "function word"
    if any(word.startswith(plain) for word in passage.context.split()):
        return "from the passage"
    return "another word"


def kinds(scores: Mapping[str, Scores], passages: Sequence[Passage], tokenizer) -> pd.DataFrame:
    """Share of each kind among the most probable first tokens that are wrong, by variant.

    Columns: variant, kind, count, wrong (how many answers of the variant are wrong).
    """
    rows = []
    for variant, one in scores.items():
        wrong = [i for i in range(len(passages)) if one.first_rank[i] > 0]
        tokens = [int(one.top_tokens[i, 0]) for i in wrong]
        pieces = tokenizer.convert_ids_to_tokens(tokens)
        texts = {t: tokenizer.decode([t]) for t in set(tokens)}
        found = [
            kind(piece, texts[token], passages[i])
            for i, token, piece in zip(wrong, tokens, pieces, strict=True)
        ]
        rows += [(variant, name, found.count(name), len(wrong)) for name in KINDS]
    return pd.DataFrame(rows, columns=["variant", "kind", "count", "wrong"])


def table(
    scores: Mapping[str, Scores], passages: Sequence[Passage], tokenizer, chosen: Sequence[int]
) -> pd.DataFrame:
    """Five predictions of each variant for the chosen passages, the most probable first.

    Rows are variants under each passage's end; a token that continues a word begins with `·`, a
    space alone is `␣`.
    """
    rows = []
    for i in chosen:
        where = {"passage": f"... {passages[i].context[-60:]}", "true word": passages[i].word}
        for variant, one in scores.items():
            shown = written(one.top_tokens[i, :5], tokenizer)
            rows.append({**where, "variant": variant, "five predictions": ", ".join(shown)})
    return pd.DataFrame(rows).set_index(["passage", "true word", "variant"])


def written(tokens: Sequence[int], tokenizer) -> list[str]:
    """Predicted tokens as the table writes them."""
    numbers = [int(t) for t in tokens]
    pieces = tokenizer.convert_ids_to_tokens(numbers)
    texts = [tokenizer.decode([t]) for t in numbers]
    return [
        text.strip() or "␣" if piece[:1] in _WORD_STARTS else f"·{text}"
        for piece, text in zip(pieces, texts, strict=True)
    ]
