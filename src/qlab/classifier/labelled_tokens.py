"""Tokenized sentences with one label each: what a BERT is trained, calibrated and scored on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from qlab.classifier import token_robustness
from qlab.classifier.labelled_examples import LabelledExamples
from qlab.classifier.model_inputs import TOKENS
from qlab.core.errors import QlabError


@dataclass(frozen=True)
class LabelledTokens(LabelledExamples):
    """Sentences of one length in tokens, with labels; QlabError where the parts do not fit."""

    tokens: Mapping[str, np.ndarray]  # int32 [n, length] under each name of TOKENS
    labels: np.ndarray  # int64 [n], 0 <= label < len(classes)
    classes: tuple[str, ...]  # their names, by label
    unknown: int  # id of the token that stands for unknown words

    noun, field = "sentence", "tokens"

    def __post_init__(self) -> None:
        found = {name: f"{v.dtype} {list(v.shape)}" for name, v in self.tokens.items()}
        first = next(iter(self.tokens.values()), np.empty(0))
        one_kind = len(set(found.values())) == 1 and first.ndim == 2 and first.dtype == np.int32
        if set(found) != set(TOKENS) or not one_kind:
            raise QlabError(
                f"Labelled sentences are {', '.join(TOKENS)}, each int32 [n, length]; these are "
                f"{', '.join(f'{name} {kind}' for name, kind in found.items())}."
            )
        self._check_labels()

    def corrupted_sets(self) -> Iterator[tuple[str, Mapping[str, np.ndarray]]]:
        """Each corruption's name and its copies of the sentences, one set at a time in memory."""
        return token_robustness.corrupted_sets(self.tokens, self.unknown)
