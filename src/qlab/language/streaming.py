"""Quantize a Llama folder with one decoder layer in memory at a time, and load what came out.

A finished decoder layer is a shard of its own, written whole beside the target; so is, for
methods that need inputs, what enters the next one. A killed run goes on at the next decoder layer
and ends with the same bytes. The target appears when all of it is there.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from qlab.core import cache
from qlab.core.errors import QlabError
from qlab.language import auto_gptq_compat, bnb, llama, methods
from qlab.language.quantized import Method

if TYPE_CHECKING:
    from transformers import LlamaConfig, LlamaForCausalLM

# What quantizing a layer changes, the inputs of the later groups see: "true sequential".
GROUPS = (
    ("self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj"),
    ("self_attn.o_proj",),
    ("mlp.up_proj", "mlp.gate_proj"),
    ("mlp.down_proj",),
)
LAYERS = "layers.json"
# Everything beside weights and config.json that a tokenizer or a generation may need.
BESIDE = ("*token*", "vocab*", "merges.txt", "generation_config.json", "chat_template*")
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


class _Enough(Exception):
    """A forward pass has reached the last linear layer it was run for."""


def quantize_folder(
    folder: Path,
    method: Method,
    calibration: list[list[int]],
    target: Path,
    device: str = "cpu",
    dtype: str = "float32",
    progress=iter,
) -> None:
    """Write the Llama in `folder`, its linear layers quantized, as a Hugging Face folder `target`.

    `calibration` are passages as token ids, run one by one, so nothing is padded. What is not
    quantized (embedding, norms, an untied head) keeps its dtype. A target that is there is left,
    and an unfinished one beside it gone on with: the target's name must say all that decides it.
    QlabError: a quantized folder, widths that do not fit, no passages where some are needed.
    """
    config = llama.float_config(folder)
    method.check(config)
    if method.needs_inputs:
        checked(calibration, config)
    if target.exists():
        return
    unfinished = target.with_name(f"{target.name}.partial")
    with torch.no_grad():
        stream = _Stream(folder, config, method, unfinished, device, dtype)
        stream.start(calibration if method.needs_inputs else [])
        for index in progress(range(config.num_hidden_layers)):
            stream.step(index)
        stream.finish()
    try:
        unfinished.rename(target)
    except OSError as error:  # another run was faster: the same bytes
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def load_dense(folder: Path, dtype: str = "float32", device: str = "cpu") -> "LlamaForCausalLM":
    """The model of a folder, its quantized weights turned into dense ones once; in eval mode."""
    config = llama.check(folder)
    if not llama.quantized(config):
        return llama.load(folder, dtype, device)
    method = methods.stored(config.quantization_config, folder)
    del config.quantization_config  # what is returned is quantized no more
    read = partial(dense_tensor, llama.Weights(folder), method)
    return llama.filled(config, read, dtype, device)


def load_packed(folder: Path, device: str = "cpu") -> "LlamaForCausalLM":
    """The model with the library's own modules and kernels; a float folder is loaded as it is."""
    config = llama.check(folder)
    if not llama.quantized(config):
        return llama.load(folder, device=device)
    if config.quantization_config.get("quant_method") == "bitsandbytes":
        return bnb.load_packed(folder, device)
    method = methods.stored(config.quantization_config, folder)
    if not _is_gptq(method):
        raise QlabError(f"{method.name} has no kernels for packed weights; load it dense.")
    return auto_gptq_compat.from_quantized(folder, device).model


def embedded(weights: llama.Weights, passages: list[list[int]], dtype: str) -> list[torch.Tensor]:
    """What enters the first decoder layer, [1, tokens, width] for each passage, on the host."""
    embedding, kind = weights.read(EMBEDDING), llama.torch_dtype(dtype)
    return [embedding[torch.tensor(tokens)][None].to(kind) for tokens in passages]


def positions(
    config: "LlamaConfig", passages: list[list[int]], dtype: str, device: str
) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """Number of tokens -> cosine and sine of their positions, each [1, tokens, head width]."""
    lengths = {len(tokens) for tokens in passages}
    return {length: llama.rotary(config, length, dtype, device) for length in lengths}


def dense_tensor(weights: llama.Weights, method: Method, name: str, shape) -> torch.Tensor:
    """A tensor of the dense model: as stored, or a weight [out, in] made of a quantized layer's."""
    layer = name.removesuffix(".weight")
    if name == EMBEDDING and name not in weights.names:
        return weights.read(HEAD)  # tied, and stored for auto-gptq under this name
    if not (name.startswith("model.layers.") and layer.endswith(llama.LINEARS)):
        return weights.read(name)
    parts = [n for n in weights.names if n.startswith(f"{layer}.") and n != f"{layer}.bias"]
    return method.dense({n.removeprefix(f"{layer}."): weights.read(n) for n in parts}, shape)


class _Stream:
    """A model on its way through memory: one decoder layer, and what enters it, on the host."""

    def __init__(self, folder, config, method, partial, device, dtype):
        self.folder, self.config, self.weights = folder, config, llama.Weights(folder)
        self.method, self.partial, self.device, self.dtype = method, partial, device, dtype
        self.states: list[torch.Tensor] = []  # [1, tokens, width] for each passage
        self.rotary: dict[int, tuple] = {}  # cosine and sine by number of tokens

    def start(self, calibration: list[list[int]]) -> None:
        """What enters the first decoder layer that is not finished yet."""
        self.partial.mkdir(parents=True, exist_ok=True)
        if not calibration:
            return
        self.rotary = positions(self.config, calibration, self.dtype, self.device)
        finished = [self.shard(i).is_file() for i in range(self.config.num_hidden_layers)]
        kept = self.partial / f"inputs-{(finished + [False]).index(False):05d}.safetensors"
        if kept.is_file():
            stored = load_file(kept)
            self.states = [stored[str(i)] for i in range(len(calibration))]
            return
        self.states = embedded(self.weights, calibration, self.dtype)

    def step(self, index: int) -> None:
        """Quantize a decoder layer and write it, unless an earlier run did."""
        shard = self.shard(index)
        if shard.is_file():
            return
        block = llama.block(self.folder, self.weights, index, self.dtype, self.device)
        prefix = f"model.layers.{index}."
        tensors, notes = {}, {}
        for group in GROUPS:
            observers = self._observe(block, group)
            for kind in group:
                name = prefix + kind
                made, notes[name] = self._quantize(name, block.get_submodule(kind), observers[kind])
                tensors |= {f"{name}.{end}": tensor for end, tensor in made.items()}
        linears = tuple(f"{prefix}{kind}.weight" for kind in llama.LINEARS)
        for name in self.weights.names:
            if name.startswith(prefix) and name not in linears and "rotary_emb" not in name:
                tensors[name] = self.weights.read(name)
        if self.states:
            for i, state in enumerate(self.states):  # one by one: never two copies of all
                self.states[i] = self._run(block, state).cpu()
            kept = {str(i): state for i, state in enumerate(self.states)}
            _save(kept, self.partial / f"inputs-{index + 1:05d}.safetensors")
        _write_json(self.partial / f"layer-{index:05d}.json", notes)
        _save(tensors, shard)  # the last: a layer is finished when its shard is there
        (self.partial / f"inputs-{index:05d}.safetensors").unlink(missing_ok=True)

    def finish(self) -> None:
        """Everything outside the decoder layers, and the files beside the weights."""
        rest = [name for name in self.weights.names if not name.startswith("model.layers.")]
        if self.config.tie_word_embeddings:
            rest = [name for name in rest if name != HEAD]
        tensors = {name: self.weights.read(name) for name in rest}
        if _is_gptq(self.method) and self.config.tie_word_embeddings:
            # Under auto-gptq, accelerate ties both to the one that is first in the alphabet: the
            # other name alone would be loaded and then replaced by whatever the memory held.
            tensors[HEAD] = tensors.pop(EMBEDDING)
        count = self.config.num_hidden_layers
        _save(tensors, self.shard(count))
        _write_json(self.partial / llama.INDEX, _index(self.shard(i) for i in range(count + 1)))
        notes = [self.partial / f"layer-{i:05d}.json" for i in range(count)]
        merged = {}
        for path in notes:
            merged |= json.loads(path.read_text())
        write_beside(self.folder, self.partial, self.method, merged)
        for path in [*notes, *self.partial.glob("inputs-*.safetensors")]:
            path.unlink()

    def shard(self, index: int) -> Path:
        """The file of a decoder layer; the one after the last holds everything else."""
        count = self.config.num_hidden_layers + 1
        return self.partial / f"model-{index + 1:05d}-of-{count:05d}.safetensors"

    def _observe(self, block, group: tuple[str, ...]) -> dict:
        """An observer for each linear layer of the group, after all passages (None: no inputs)."""
        observers = {kind: self.method.observe(block.get_submodule(kind)) for kind in group}
        if not self.states:
            return observers
        waiting: set[str] = set()

        def hook(kind: str) -> Callable:
            def seen(module, inputs, output) -> None:
                observers[kind].add_batch(inputs[0].detach(), output.detach())
                waiting.discard(kind)
                if not waiting:
                    raise _Enough

            return seen

        hooks = [block.get_submodule(k).register_forward_hook(hook(k)) for k in group]
        for state in self.states:
            waiting.update(group)
            with contextlib.suppress(_Enough):
                self._run(block, state)
        for handle in hooks:
            handle.remove()
        return observers

    def _quantize(self, name: str, linear: torch.nn.Linear, observer) -> tuple[dict, dict]:
        """Quantize one layer in place; its tensors for the file, and notes on how it went."""
        start = time.perf_counter()
        try:
            made = self.method.quantize(linear, observer)
        except QlabError as error:
            raise QlabError(f"{name}: {error}") from error
        linear.weight.data = made.dense.to(linear.weight)
        tensors = {end: tensor.cpu().contiguous() for end, tensor in made.tensors.items()}
        seconds = round(time.perf_counter() - start, 3)
        return tensors, {"damping": made.damping, "seconds": seconds}

    def _run(self, block, state: torch.Tensor) -> torch.Tensor:
        return llama.run_block(block, state.to(self.device), self.rotary[state.shape[1]])


def write_beside(folder: Path, target: Path, method: Method, notes: dict) -> None:
    """All that lies beside the weights of `folder`, quantized by a method, in `target`."""
    settings = method.config()
    config = llama.read_json(folder, "config.json") | {"quantization_config": settings}
    _write_json(target / "config.json", config)
    if _is_gptq(method):
        # auto-gptq opens this one in a local folder, without looking whether it is there.
        _write_json(target / "quantize_config.json", settings)
    _write_json(target / LAYERS, notes)
    for pattern in BESIDE:
        for path in folder.glob(pattern):
            shutil.copyfile(path, target / path.name)


def checked(
    passages: Sequence[Sequence[int]], config: "LlamaConfig", use: str = "Calibration", least=1
) -> None:
    """QlabError unless there are passages, and the model can read each: `least` tokens or more."""
    if not passages:
        raise QlabError(f"{use} has 0 passages, and some are needed; give some.")
    for number, tokens in enumerate(passages, 1):
        if not least <= len(tokens) <= config.max_position_embeddings:
            raise QlabError(
                f"{use} passage {number} has {len(tokens)} tokens; {least} to "
                f"{config.max_position_embeddings} fit this model. Leave it out or cut it."
            )


def _is_gptq(method: Method) -> bool:
    return method.config()["quant_method"] == "gptq"


def _index(shards: Iterable[Path]) -> dict:
    """model.safetensors.index.json: which tensor lies in which file."""
    size, places = 0, {}
    for path in shards:
        with safe_open(path, framework="pt") as file:
            places |= dict.fromkeys(file.keys(), path.name)
        size += path.stat().st_size
    return {"metadata": {"total_size": size}, "weight_map": places}


def _save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """A safetensors file, written whole; a full disk is a QlabError."""
    with cache.written_whole(path) as part:
        try:
            save_file(tensors, part, metadata={"format": "pt"})
        except SafetensorError as error:
            # Its text ends "(os error 28)": an OSError that lost its type on the way.
            if number := re.search(r"os error (\d+)", str(error)):
                raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
            raise


def _write_json(path: Path, content: dict) -> None:
    with cache.written_whole(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n")
