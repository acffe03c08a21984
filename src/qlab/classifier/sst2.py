"""Sentences with labels in the layout of GLUE's SST-2: a folder with `train.tsv` and `dev.tsv`.

Wang et al., arXiv 1804.07461; Socher et al. 2013. Each file has the line `sentence<TAB>label` at
its head, then a sentence, a tab and a label on each line; quotation marks mean nothing.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from qlab.core.errors import QlabError

SPLITS = ("train.tsv", "dev.tsv")  # `test.tsv` of GLUE has no labels
HEADER = "sentence\tlabel"


class Sentences(NamedTuple):
    """Texts and their labels."""

    texts: list[str]  # as they stand in the file
    labels: np.ndarray  # int64 [n]


def is_folder(folder: Path) -> bool:
    """Whether a folder has one of the layout's files."""
    return any((folder / name).is_file() for name in SPLITS)


def load(folder: Path) -> tuple[Sentences, Sentences]:
    """The sentences of `train.tsv` and of `dev.tsv`; their labels count from 0.

    QlabError: what `read` refuses, fewer than two classes in `train.tsv`, or a label in `dev.tsv`
    that `train.tsv` does not have.
    """
    train, dev = (read(folder / name) for name in SPLITS)
    known = int(train.labels.max())
    if not known:
        raise QlabError(f"{folder / SPLITS[0]} has the label 0 alone; two classes are needed.")
    if len(beyond := np.flatnonzero(dev.labels > known)):
        raise QlabError(
            f"{folder / SPLITS[1]}, line {beyond[0] + 2}: the label {dev.labels[beyond[0]]} is not "
            f"among those of {SPLITS[0]}, 0 to {known}."
        )
    return train, dev


def read(file: Path) -> Sentences:
    """The sentences of one file; QlabError names the line that is not as it should be."""
    if not file.is_file():
        raise QlabError(
            f"There is no {file.name} in {file.parent}; sentences are expected in GLUE's layout of "
            f"SST-2, {' and '.join(SPLITS)}."
        )
    try:
        head, *lines = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise QlabError(f"{file} is no UTF-8 text ({error}); convert it.") from error
    if head.rstrip("\r") != HEADER:
        told = f"'{head.rstrip()[:60]}'" if head.strip() else "nothing"
        raise QlabError(
            f"{file} begins with {told}; expected the line 'sentence<TAB>label' at its head."
        )
    rows = [_row(file, at, line.rstrip("\r")) for at, line in enumerate(lines, 2) if line.strip()]
    if not rows:
        raise QlabError(f"{file} has no sentences, only its head.")
    texts, labels = zip(*rows, strict=True)
    return Sentences(list(texts), np.array(labels, np.int64))


def _row(file: Path, number: int, line: str) -> tuple[str, int]:
    """The sentence and the label of a line."""
    parts = line.split("\t")
    if len(parts) != 2:
        raise QlabError(
            f"{file}, line {number}: {len(parts)} columns; expected a sentence, a tab and a label."
        )
    text, label = parts
    if not label.strip().isdecimal():
        raise QlabError(
            f"{file}, line {number}: the label '{label}' is no whole number from 0 on, as SST-2's "
            "0 (negative) and 1 (positive)."
        )
    return text.strip(), int(label)
