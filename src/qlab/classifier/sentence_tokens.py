"""Sentences as a BERT reads them: tokens by the tokenizer files of the model's own folder."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qlab.classifier.labelled_tokens import LabelledTokens
from qlab.classifier.model_inputs import TOKENS
from qlab.classifier.sst2 import Sentences
from qlab.core.errors import QlabError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)
FILES = ("tokenizer.json", "vocab.txt")  # either is enough
LONGEST = 128  # tokens; SST-2's longest sentence has 66


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a local folder, whose code is never run; QlabError: none, or damaged."""
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in FILES):
        raise QlabError(
            f"{folder} has no tokenizer: expected {' or '.join(FILES)}. Copy it from the model's "
            "page on the hub, or save it with tokenizer.save_pretrained(folder)."
        )
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers and tokenizers raise many kinds for damaged files
        raise QlabError(f"The tokenizer in {folder} cannot be read: {error}") from error


def length_of(texts: list[str], tokenizer: "PreTrainedTokenizerBase", most: int) -> int:
    """Tokens of the longest sentence, its ends included, but no more than `most`."""
    longest = max(map(len, tokenizer(texts, verbose=False)["input_ids"]))
    if longest > most:
        log.warning("The longest sentence has %d tokens: cut to the first %d.", longest, most)
    return min(longest, most)


def encoded(
    sentences: Sentences,
    tokenizer: "PreTrainedTokenizerBase",
    classes: tuple[str, ...],
    length: int,
    vocabulary: int,
) -> LabelledTokens:
    """Sentences as tokens, cut or filled to `length`.

    QlabError: a tokenizer that gives no token types or ids beyond the model's `vocabulary`.
    """
    found = tokenizer(
        sentences.texts, padding="max_length", truncation=True, max_length=length, verbose=False
    )
    if missing := [name for name in TOKENS if name not in found]:
        raise QlabError(f"The tokenizer gives no '{missing[0]}', as BERT's does.")
    tokens = {name: np.array(found[name], np.int32) for name in TOKENS}
    highest = int(tokens["input_ids"].max())
    if highest >= vocabulary:
        raise QlabError(
            f"The tokenizer gives the word '{tokenizer.convert_ids_to_tokens(highest)}' the id "
            f"{highest}; the model knows 0 to {vocabulary - 1} (vocab_size in its config.json). "
            "The two do not belong together."
        )
    return LabelledTokens(tokens, sentences.labels, classes, tokenizer.unk_token_id)
