"""`toy_bert`: a BERT of two small layers that knows the words of `mini_reviews` and no others.

A Hugging Face folder without weights, for it is trained where it is used; all else about it is as
with a BERT from the hub.
"""

import json
from pathlib import Path

from qlab.classifier import mini_reviews
from qlab.classifier.bert_training import Settings

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SHAPE = {
    "model_type": "bert",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 48,
}
TRAINING = Settings(epochs=8, rate=1e-3)


def write(folder: Path) -> None:
    """Write its configuration and its vocabulary, one token a word."""
    words = [*SPECIAL, *mini_reviews.vocabulary()]
    (folder / "config.json").write_text(json.dumps(SHAPE | {"vocab_size": len(words)}, indent=1))
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
