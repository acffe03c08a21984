"""Sentences with labels, in GLUE's layout of SST-2, and as the tokens that a model reads."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from qlab.core import fetch, paths
from qlab.core.errors import QlabError

FILES = ("train.tsv", "dev.tsv")  # GLUE's test.tsv has no labels
HEADER = "sentence\tlabel"
SST2 = (
    "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip",
    "sha256:d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa",
)
Pairs = list[tuple[str, int]]  # sentences and their labels, which count from 0


class Tokens(NamedTuple):
    """Sentences as a model reads them."""

    inputs: dict[str, torch.Tensor]  # int64 [sentences, longest], by the model's names
    labels: torch.Tensor  # int64 [sentences]

    def batch(self, rows) -> dict[str, torch.Tensor]:
        """What the model takes of some sentences, cut to the longest of them, labels too."""
        most = int(self.inputs["attention_mask"][rows].sum(1).max())
        return {n: x[rows, :most] for n, x in self.inputs.items()} | {"labels": self.labels[rows]}

    def first(self, count: int) -> "Tokens":
        """The first `count` sentences."""
        return Tokens({n: x[:count] for n, x in self.inputs.items()}, self.labels[:count])

    def alike(self, size: int) -> list[torch.Tensor]:
        """Places of all sentences in batches of `size`, of like length, so that little is padded."""
        order = self.inputs["attention_mask"].sum(1).sort(stable=True).indices
        return list(order.split(size))

    def drawn(self, size: int, steps: int, seed: int):
        """A batch for each step: batches of like length in an order from `seed`, epoch by epoch."""
        batches = self.alike(size)
        for step in range(steps):
            epoch, place = divmod(step, len(batches))
            order = np.random.default_rng([seed, epoch]).permutation(len(batches))
            yield self.batch(batches[order[place]])


def encode(pairs: Pairs, tokenizer, longest: int) -> Tokens:
    """Sentences as tokens, cut to `longest`."""
    texts, labels = zip(*pairs, strict=True)
    how = {"padding": True, "truncation": True, "max_length": longest, "padding_side": "right"}
    found = tokenizer(list(texts), return_tensors="pt", verbose=False, **how)
    return Tokens(dict(found), torch.tensor(labels))


def sst2() -> Path:
    """SST-2's folder: below QLAB_DATA, else downloaded (7 MB)."""
    local = (paths.real_data() or paths.build()) / "SST-2"
    return local if local.is_dir() else fetch.fetch(*SST2, unpack=True) / "SST-2"


def read(file: Path) -> Pairs:
    """The sentences of a file; QlabError names the line that is not as it should be."""
    if not file.is_file():
        raise QlabError(
            f"There is no {file.name} in {file.parent}; the parameter 'data' takes a folder in the "
            f"layout of GLUE's SST-2, with {' and '.join(FILES)}."
        )
    head, *lines = file.read_text(encoding="utf-8").split("\n")
    if head.rstrip("\r") != HEADER:
        raise QlabError(
            f"{file} begins with '{head.rstrip()[:60]}'; expected the line 'sentence<TAB>label'."
        )
    pairs = [_pair(file, at, line) for at, line in enumerate(lines, 2) if line.strip()]
    if not pairs:
        raise QlabError(f"{file} has no sentences, only its head; give at least one a line.")
    return pairs


def _pair(file: Path, number: int, line: str) -> tuple[str, int]:
    text, *label = line.rstrip("\r").split("\t")
    if len(label) != 1 or not label[0].strip().isdecimal():
        raise QlabError(
            f"{file}, line {number}: expected a sentence, a tab and a label, a whole number from 0 "
            f"on; found '{line.strip()[:60]}'. Mend the line or leave it out."
        )
    return text.strip(), int(label[0])
