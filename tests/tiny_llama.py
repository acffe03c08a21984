"""Random decoders of two small blocks in Hugging Face folders with a tokenizer; a Llama usually."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from qlab.core import provenance
from qlab.language import data
from qlab.language.lambada import Encoded, Passage
from qlab.language.scoring import TOP, Scores

SHAPE = {  # widths that can be packed
    "vocab_size": 300, "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}  # fmt: skip
_WINDOW = {"head_dim": 16, "sliding_window": 8}  # shorter than the passages
_OWN = {  # what a family has beside SHAPE, under transformers' name for it
    "llama": {}, "qwen2": {}, "qwen3": {"head_dim": 32}, "mistral": _WINDOW,
    "gemma2": _WINDOW | {"final_logit_softcapping": 5.0},
    "gemma3_text": _WINDOW | {"layer_types": ["sliding_attention", "full_attention"]},
    "phi3": {"pad_token_id": 0}, "smollm3": {"pad_token_id": 0}, "olmo2": {"pad_token_id": 0},
    "gpt2": {}, "gpt_neox": {}, "opt": {"ffn_dim": 192}, "falcon": {}, "bloom": {},
}  # fmt: skip
FAMILIES = {name: hf.AutoConfig.for_model(name, **SHAPE | own) for name, own in _OWN.items()}
FAMILIES["untied"] = hf.LlamaConfig(**SHAPE | {"tie_word_embeddings": False}, attention_bias=True)
PASSAGES = [[(7 * i + j * j) % 260 for j in range(5 + 3 * i)] for i in range(6)]  # token ids


def write(folder: Path, shard="5GB", **changes) -> hf.PreTrainedModel:
    """Write a Llama and return it; `changes` to the shape, `shard` as transformers."""
    return save(hf.LlamaConfig(**(SHAPE | changes)), folder, shard)


def save(config: hf.PretrainedConfig, folder: Path, shard="5GB") -> hf.PreTrainedModel:
    torch.manual_seed(0)
    model = hf.AutoModelForCausalLM.from_config(config).eval()
    # The default 0.02 makes all outputs so small that wrong ones would look equal.
    for parameter in model.parameters():
        parameter.data.mul_(8 if parameter.dim() > 1 else 1)
    model.save_pretrained(folder, max_shard_size=shard)
    write_tokenizer(folder)
    return model


def write_tokenizer(folder: Path) -> None:
    """A byte-level tokenizer of 260 words: 256 bytes, w256, ..., w259."""
    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(f"w{i}" for i in range(256, 260))]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)


def rewrite(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def edit(path: Path, without=(), **changes) -> None:
    found = json.loads(path.read_text()) if path.is_file() else {}
    kept = {name: value for name, value in found.items() if name not in without}
    path.write_text(json.dumps(kept | changes))


def jsonl(path: Path, texts) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def prepare(profile: str = "smoke", **more) -> data.Task:
    return data.prepare(data.Parameters(profile=profile, **{"threads": 1} | more))


def bitsandbytes(source: Path, target: Path, **settings) -> hf.PreTrainedModel:
    """A folder that transformers and bitsandbytes make of a float one; the model in memory."""
    model = theirs(source, quantization_config=hf.BitsAndBytesConfig(**settings))
    model.save_pretrained(target)
    write_tokenizer(target)
    return model


def theirs(folder: Path, **more) -> hf.PreTrainedModel:
    """The model of a folder as transformers alone opens it on a CPU."""
    more = {"device_map": {"": "cpu"}, "torch_dtype": torch.float32} | more
    return hf.AutoModelForCausalLM.from_pretrained(folder, **more).eval()


@torch.no_grad()
def logits(model, tokens=PASSAGES[5]) -> torch.Tensor:
    """Of one passage, float32 [tokens, words]."""
    return model(input_ids=torch.tensor([tokens])).logits[0].float()


def stored(folder: Path) -> dict[str, torch.Tensor]:
    return {n: t for path in folder.glob("*.safetensors") for n, t in load_file(path).items()}


def encoded(model, count: int) -> list[Encoded]:
    """Random passages of up to 64 tokens, the last 1 to 5 of which are the word's; of every three
    one ends with what the model would say, one with its last token alone."""
    random, found = np.random.default_rng(0), []
    for i, n in enumerate([3, 64, *random.integers(6, 61, count - 2)]):
        tokens, targets = random.integers(0, 260, n).tolist(), int(random.integers(1, min(n, 6)))
        for at in range(n - (targets, 1, 0)[i % 3], n):
            tokens[at] = int(logits(model, tokens[:at])[-1].argmax())
        found.append(Encoded(tokens, targets))
    return found


def scores(ranks, log_p=-1.0, **changes) -> Scores:
    """Scores of words of one token, number 3, that have these ranks; others are 10, 11, ..."""
    ranks = np.asarray(ranks, np.int32)
    top = np.where(ranks[:, None] == np.arange(TOP), 3, np.arange(10, 10 + TOP))
    shares = np.full(top.shape, np.log(0.05))
    whole, lost = np.full(len(ranks), log_p), np.full(len(ranks), 0.25)
    found = Scores(whole, ranks == 0, ranks, ranks, ranks, top, shares, lost)
    return dataclasses.replace(found, **changes)


N = 200  # passages of TASK
# As much of a task as records need.
TASK = SimpleNamespace(
    model="m", dataset="d", parent="0" * 64, passages=[Passage("a w3", "a", "w3")] * N,
    tokenizer=SimpleNamespace(decode=lambda ids: f" w{ids[0]}"),
    processor=lambda share="": provenance.device(share) if share else provenance.processor(),
)  # fmt: skip
