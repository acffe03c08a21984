"""A random Llama of two small decoder layers in a Hugging Face folder, with a tokenizer."""

from pathlib import Path

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
