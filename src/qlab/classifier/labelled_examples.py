"""Examples with one label each, images or sentences: what trains, calibrates and judges."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from qlab.classifier import model_inputs
from qlab.classifier.model_inputs import Inputs
from qlab.core.errors import QlabError


@dataclass(frozen=True)
class LabelledExamples:
    """The common part of `LabelledImages` and `LabelledTokens`, which have the examples."""

    noun: ClassVar[str]  # what one example is called
    field: ClassVar[str]  # the attribute that holds the examples

    @property
    def inputs(self) -> Inputs:
        """The examples as the rails take them."""
        return getattr(self, self.field)

    def corrupted_sets(self) -> Iterator[tuple[str, Inputs]]:
        """Worse copies of the examples: the name of each corruption, and its copies."""
        raise NotImplementedError

    def _check_labels(self) -> None:
        """QlabError where there are no examples, or where labels do not belong to them."""
        found = model_inputs.count(self.inputs)
        if not found:
            raise QlabError(
                f"There are no labelled {self.noun}s: 0 were given, 1 or more are needed."
            )
        if self.labels.dtype != np.int64 or self.labels.shape != (found,):
            raise QlabError(
                f"{found} {self.noun}s need as many int64 labels; there are "
                f"{self.labels.dtype} {list(self.labels.shape)}."
            )
        outside = (self.labels < 0) | (self.labels >= len(self.classes))
        if outside.any():
            place = int(outside.argmax())
            raise QlabError(
                f"{self.noun.capitalize()} {place} has the label {self.labels[place]}; with "
                f"{len(self.classes)} classes the labels are 0 to {len(self.classes) - 1}."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Self:
        """The first `count` examples; QlabError where there are fewer."""
        return self.part(0, count)

    def part(self, start: int, stop: int) -> Self:
        """Examples `start` up to `stop`, without it; QlabError where these are not there."""
        if not 0 <= start < stop <= len(self):
            raise QlabError(
                f"{self.noun.capitalize()}s {start} up to {stop} were asked for, of {len(self)}; "
                "ask for at least one, and for no more than there are."
            )
        return self.taken(slice(start, stop))

    def taken(self, which: slice | np.ndarray) -> Self:
        """The examples of a slice, of places, or of a mask."""
        some = model_inputs.rows(self.inputs, which)
        return replace(self, **{self.field: some}, labels=self.labels[which])

    def without(self, others: "LabelledExamples") -> Self:
        """The examples that are not, value for value, among the others."""
        seen = set(others._digests())
        return self.taken(np.array([digest not in seen for digest in self._digests()]))

    def _digests(self) -> Iterator[bytes]:
        """A hash of each example, whatever its label."""
        for parts in zip(*model_inputs.arrays(self.inputs).values(), strict=True):
            yield hashlib.sha256(b"".join(part.tobytes() for part in parts)).digest()

    @property
    def sha256(self) -> str:
        """Of the examples and their labels."""
        parts = [*model_inputs.arrays(self.inputs).values(), self.labels]
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
