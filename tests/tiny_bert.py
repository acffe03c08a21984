"""A BERT so small that it trains in seconds, and sentences in SST-2's layout that it can learn."""

from pathlib import Path

import numpy as np

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "soup", "wine", "was", "good", "bad"]
SHAPE = {
    "model_type": "bert", "vocab_size": len(WORDS), "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 16,
}  # fmt: skip


def write(folder: Path, classes: int = 0, **changed) -> Path:
    """A Hugging Face folder of a BERT; with a classifier where there are `classes`."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(**SHAPE | changed, num_labels=classes or 2)
    model = BertForSequenceClassification(config)
    (model if classes else model.bert).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


def write_sentences(folder: Path, train: int = 64, dev: int = 12) -> Path:
    """A folder in SST-2's layout: what is good is 1, what is bad 0; no sentence twice in a file."""
    folder.mkdir(exist_ok=True)
    for name, count, seed in (("train.tsv", train, 0), ("dev.tsv", dev, 1)):
        rng = np.random.default_rng(seed)
        lines = ["sentence\tlabel"]
        for _ in range(count):
            label = int(rng.integers(2))
            tail = " ".join(rng.choice(["the", "soup", "wine", "was"], 8))
            lines.append(f"the soup was {('bad', 'good')[label]} {tail} \t{label}")
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder
