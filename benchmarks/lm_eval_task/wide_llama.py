"""A random Llama as wide as Llama-3.2-3B, two layers deep, and passages for it.

Its vocabulary of 128,256 is what makes scoring all positions expensive; the weights need not mean
anything for that. As layers add little to a tied embedding, the model repeats its last token, and
some passages end with a word twice: otherwise acc would be 0 on both sides and prove nothing.
"""

import itertools
import json
import random
from pathlib import Path

VOCABULARY = 128_256
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 2,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 2048,
    "rope_theta": 500_000.0,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
DAMPING = 0.05  # factor on what layers add: a repeated token's logit is about 15, others' 0 to 5
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>"]


def _join(left: list[str], right: list[str]) -> list[tuple[str, str]]:
    return list(itertools.product(left, right))


def merges() -> list[tuple[str, str]]:
    """Byte-pair merges that fill the vocabulary: syllables, half words, words, words with space.

    No syllable occurs in both halves of a word, so the order of merges makes no difference.
    """
    first, second = _join("bcdfghjklm", "aeiou"), _join("npqrstvwxz", "aeiou")
    halves = _join(["".join(s) for s in first], ["".join(s) for s in second])
    half_words = ["".join(h) for h in halves]
    count = (VOCABULARY - len(SPECIAL) - 256 - len(first + second) - 2 * len(halves)) // 2
    words = random.Random(0).sample(_join(half_words, half_words), count)
    spaced = [("Ġ", "".join(w)) for w in halves + words]
    return [*first, *second, *halves, *words, *spaced]


def write_tokenizer(folder: Path) -> list[str]:
    """Write a byte-level BPE tokenizer; returns words, some of one token and some of two."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pairs = merges()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = [*SPECIAL, *alphabet, *("".join(p) for p in pairs)]
    tokenizer = Tokenizer(models.BPE({entry: i for i, entry in enumerate(entries)}, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    bos = SPECIAL[0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, 0)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=SPECIAL[1]
    ).save_pretrained(folder)
    words = [p[1] for p in pairs if p[0] == "Ġ" and len(p[1]) == 8]
    return words + [
        "".join(w) for w in random.Random(1).choices(_join(words[:50], words[:50]), k=9999)
    ]


def write_passages(file: Path, words: list[str], count: int) -> None:
    """Write `count` passages as long as LAMBADA's (median 58 words); a third end with a word twice.

    The first has 180 words, like LAMBADA's longest, because the longest decides the peak memory.
    """
    choose = random.Random(2)
    with file.open("w") as stream:
        for i in range(count):
            length = min(max(31, round(58 * choose.lognormvariate(0, 0.2))), 180) if i else 180
            text = choose.choices(words, k=length)
            if i % 3 == 0:
                text[-1] = text[-2] = choose.choice(words[:1000])
            stream.write(json.dumps({"text": " ".join(text)}) + "\n")


def write(folder: Path, count: int) -> None:
    """Write the model (bfloat16, as the 3B one is published) and passages.jsonl into `folder`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(**SHAPE, torch_dtype="bfloat16")
    model = LlamaForCausalLM(config)
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.data *= DAMPING
        layer.mlp.down_proj.weight.data *= DAMPING
    model.to(torch.bfloat16).save_pretrained(folder)
    write_passages(folder / "passages.jsonl", write_tokenizer(folder), count)
