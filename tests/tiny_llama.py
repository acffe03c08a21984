"""A random Llama of two small decoder layers in a Hugging Face folder, with a tokenizer."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SHAPE = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}

WIDE = {"hidden_size": 64, "intermediate_size": 192}  # widths that can be packed
PASSAGES = [[(7 * i + j * j) % 260 for j in range(5 + 3 * i)] for i in range(6)]  # token ids


def write(folder: Path, words: int = 260, shard: str = "5GB", **changes) -> LlamaForCausalLM:
    """Write the folder and return its model; `changes` to the shape, `shard` as transformers."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**(SHAPE | changes))).eval()
    # The default 0.02 makes all outputs so small that wrong ones would look equal.
    for parameter in model.parameters():
        parameter.data.mul_(8 if parameter.dim() > 1 else 1)
    model.save_pretrained(folder, max_shard_size=shard)
    write_tokenizer(folder, words)
    return model


def write_tokenizer(folder: Path, words: int) -> None:
    """A byte-level tokenizer: 256 bytes, and words w256, w257, ... up to `words` in all."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {w: i for i, w in enumerate([*alphabet, *(f"w{i}" for i in range(256, words))])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)


def stored(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder."""
    from qlab.language import llama

    weights = llama.Weights(folder)
    return {name: weights.read(name) for name in weights.names}


def scores(ranks, log_p=-1.0, **changes):
    """Scores of words of one token, number 3, that have these ranks; others are 10, 11, ..."""
    from qlab.language.scoring import TOP, Scores

    ranks = np.asarray(ranks, np.int32)
    top = np.tile(np.arange(10, 10 + TOP, dtype=np.int32), (len(ranks), 1))
    top[np.flatnonzero(ranks < TOP), ranks[ranks < TOP]] = 3
    shares = np.log(np.full(top.shape, 0.05, np.float32))
    found = Scores(np.zeros(len(ranks)) + log_p, ranks == 0, ranks, ranks, ranks, top, shares)
    return dataclasses.replace(found, **changes)
