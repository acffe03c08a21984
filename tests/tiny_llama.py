"""Random decoders of two small blocks in Hugging Face folders with a tokenizer; a Llama usually."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import transformers as hf
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from qlab.core import provenance
from qlab.language.build import Variant
from qlab.language.lambada import Passage
from qlab.language.quantized import Library

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
PACKED = SHAPE | {"hidden_size": 64, "intermediate_size": 128}
_OPT = {"ffn_dim": 128, "word_embed_proj_dim": 64}
_WINDOW = {"head_dim": 16, "sliding_window": 8}  # shorter than the passages
_BOTH = ["sliding_attention", "full_attention"]
FAMILIES = {
    "llama": hf.LlamaConfig(**PACKED),
    "untied": hf.LlamaConfig(**PACKED | {"tie_word_embeddings": False}, attention_bias=True),
    "qwen2": hf.Qwen2Config(**PACKED),
    "qwen3": hf.Qwen3Config(**PACKED, head_dim=32),
    "mistral": hf.MistralConfig(**PACKED, **_WINDOW),
    "gemma2": hf.Gemma2Config(**PACKED, **_WINDOW, final_logit_softcapping=5.0),
    "gemma3": hf.Gemma3TextConfig(**PACKED, **_WINDOW, layer_types=_BOTH),
    "phi3": hf.Phi3Config(**PACKED, pad_token_id=0),
    "smollm3": hf.SmolLM3Config(**PACKED, pad_token_id=0),
    "gpt2": hf.GPT2Config(vocab_size=300, n_positions=64, n_embd=64, n_layer=2, n_head=4),
    "neox": hf.GPTNeoXConfig(**{k: v for k, v in PACKED.items() if k != "num_key_value_heads"}),
    "olmo2": hf.Olmo2Config(**PACKED, pad_token_id=0),
    "opt": hf.OPTConfig(**{k: v for k, v in PACKED.items() if "key" not in k}, **_OPT),
    "falcon": hf.FalconConfig(
        vocab_size=300, hidden_size=64, num_hidden_layers=2, num_attention_heads=4
    ),
    "bloom": hf.BloomConfig(vocab_size=300, hidden_size=64, n_layer=2, n_head=4),
}  # fmt: skip
PASSAGES = [[(7 * i + j * j) % 260 for j in range(5 + 3 * i)] for i in range(6)]  # token ids


def write(folder: Path, words: int = 260, shard: str = "5GB", **changes) -> PreTrainedModel:
    """Write a Llama and return it; `changes` to the shape, `shard` as transformers."""
    return save(LlamaConfig(**(SHAPE | changes)), folder, words, shard)


def save(
    config: PretrainedConfig, folder: Path, words: int = 260, shard: str = "5GB"
) -> PreTrainedModel:
    """Write a model of any family, and return it."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
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


def bitsandbytes(source: Path, target: Path, **settings) -> PreTrainedModel:
    """A folder that transformers and bitsandbytes make of a float one; the model in memory."""
    model = theirs(source, quantization_config=BitsAndBytesConfig(**settings))
    model.save_pretrained(target)
    write_tokenizer(target, 260)
    return model


def theirs(folder: Path, **more) -> PreTrainedModel:
    """The model of a folder as transformers alone opens it on a CPU."""
    more = {"device_map": {"": "cpu"}, "torch_dtype": torch.float32} | more
    return AutoModelForCausalLM.from_pretrained(folder, **more).eval()


@torch.no_grad()
def logits(model, tokens=PASSAGES[5]) -> torch.Tensor:
    """Of one passage, float32 [tokens, words]."""
    return model(input_ids=torch.tensor([tokens])).logits[0].float()


def stored(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder."""
    return {n: t for path in folder.glob("*.safetensors") for n, t in load_file(path).items()}


def one_by_one(model, encoded) -> dict[str, list]:
    """Scores the plain way: each passage alone, all its logits, log-softmax over the vocabulary."""
    rows = []
    for e in encoded:
        log_p = logits(model, e.tokens[:-1]).double().log_softmax(-1)[-e.targets :]
        target = e.tokens[-e.targets :]
        ranks = [int((row > row[t]).sum()) for row, t in zip(log_p, target, strict=True)]
        rows.append(
            {
                "log_likelihood": sum(float(p[t]) for p, t in zip(log_p, target, strict=True)),
                "greedy": log_p.argmax(-1).tolist() == target,
                "first_rank": ranks[0],
                "worst_rank": max(ranks),
                "last_rank": ranks[-1],
                "top_tokens": log_p[0].topk(10).indices.tolist(),
                "top_log_p": log_p[0].topk(10).values.tolist(),
            }
        )
    return {name: [row[name] for row in rows] for name in rows[0]}


def assert_scores(found, expected) -> None:
    """Scores equal those of `one_by_one`."""
    for name, values in expected.items():
        if name in ("log_likelihood", "top_log_p"):
            np.testing.assert_allclose(getattr(found, name), values, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(getattr(found, name), values)


def scores(ranks, log_p=-1.0, **changes):
    """Scores of words of one token, number 3, that have these ranks; others are 10, 11, ..."""
    from qlab.language.scoring import TOP, Scores

    ranks = np.asarray(ranks, np.int32)
    top = np.tile(np.arange(10, 10 + TOP, dtype=np.int32), (len(ranks), 1))
    top[np.flatnonzero(ranks < TOP), ranks[ranks < TOP]] = 3
    shares = np.log(np.full(top.shape, 0.05, np.float32))
    lost = np.full(len(ranks), 0.25, np.float32)
    whole = np.zeros(len(ranks)) + log_p
    found = Scores(whole, ranks == 0, ranks, ranks, ranks, top, shares, lost)
    return dataclasses.replace(found, **changes)


N = 200  # passages of TASK
# As much of a task as records need.
TASK = SimpleNamespace(
    model="m", dataset="d", parent="0" * 64, passages=[Passage("a w3", "a", "w3")] * N,
    tokenizer=SimpleNamespace(decode=lambda ids: f" w{ids[0]}"),
    processor=lambda share="": provenance.device(share) if share else provenance.processor(),
)  # fmt: skip


def variants(names, adapter=None):
    """As `build` makes them; at 2 bits by GPTQ."""
    how = {n: Library(None, 32) if n == "fp32" else Library("gptq", 2, 64) for n in names}
    return {n: Variant(n, how[n], Path("f"), adapter) for n in names}
