"""Sentences with labels, in GLUE's layout of SST-2, and as the tokens that a model reads."""

from pathlib import Path
from typing import NamedTuple

import torch

from qlab.core.errors import QlabError

FILES, HEADER = ("train.tsv", "dev.tsv"), "sentence\tlabel"  # GLUE's test.tsv has no labels
Pairs = list[tuple[str, int]]  # sentences and their labels, which count from 0


class Tokens(NamedTuple):
    """Sentences as a model reads them."""

    inputs: dict[str, torch.Tensor]  # int64 [sentences, longest], by the model's argument names
    labels: torch.Tensor  # int64 [sentences]

    def batch(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """The model's arguments for some sentences, cut to the longest of them, with the labels."""
        most = int(self.inputs["attention_mask"][rows].sum(1).max())
        return {n: x[rows, :most] for n, x in self.inputs.items()} | {"labels": self.labels[rows]}

    def alike(self, size: int) -> list[torch.Tensor]:
        """Indices of all sentences in batches of similar length, so that little is padded."""
        lengths = self.inputs["attention_mask"].sum(1)
        return list(lengths.sort(stable=True).indices.split(size))


def encode(pairs: Pairs, tokenizer, longest: int) -> Tokens:
    """Sentences as tokens, cut to at most `longest`."""
    texts, labels = zip(*pairs, strict=True)
    how = {"padding": True, "truncation": True, "max_length": longest, "padding_side": "right"}
    return Tokens(dict(tokenizer(list(texts), return_tensors="pt", **how)), torch.tensor(labels))


def read(file: Path) -> Pairs:
    """The sentences of a file and their labels; QlabError names the line and what is wrong."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    if lines[:1] != [HEADER] or len(lines) < 2:
        raise QlabError(
            f"{file}: expected the line 'sentence<TAB>label' and sentences below it, as GLUE's "
            f"SST-2 has in {' and '.join(FILES)}; found {lines[:1] or 'nothing'}."
        )
    pairs = []
    for number, line in enumerate(lines[1:], 2):
        text, *label = line.split("\t")
        if len(label) != 1 or not label[0].isdecimal():
            raise QlabError(
                f"{file}, line {number}: expected a sentence, a tab and a label from 0 on; found "
                f"'{line[:60]}'. Mend the line or leave it out."
            )
        pairs.append((text.strip(), int(label[0])))
    return pairs
