"""Tiny models and sentences for the tests of notebook 06."""

from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, BertConfig, BertTokenizerFast

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "very", "not", "food"]
PAIRS = [("good food", 1), ("bad food", 0), ("very good", 1), ("not good", 0), ("very bad food", 0)]


def save(folder: Path, config=None, kind=AutoModelForSequenceClassification) -> Path:
    """A model of random weights with a tokenizer beside it; returns the folder."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    kind.from_config(config or bert()).save_pretrained(folder)
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def bert(**more) -> BertConfig:
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 16}
    return BertConfig(vocab_size=len(WORDS), **sizes | more)


def sst2(folder: Path, train=PAIRS, dev=PAIRS[:2]) -> Path:
    """A folder in SST-2's layout."""
    folder.mkdir(exist_ok=True)
    for name, pairs in {"train.tsv": train, "dev.tsv": dev}.items():
        lines = "".join(f"{text}\t{label}\n" for text, label in pairs)
        (folder / name).write_text(f"sentence\tlabel\n{lines}", encoding="utf-8")
    return folder
