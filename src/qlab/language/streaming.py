"""Quantize a model folder with one decoder block in memory at a time, and load what came out.

A finished block is a shard of its own, written whole beside the target; so is, for methods that
need inputs, what enters the next one. A killed run goes on at the next block and ends with the same
bytes. The target appears when all of it is there.
"""

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from qlab.core import cache
from qlab.core.errors import QlabError
from qlab.language import decoder, formats, walk
from qlab.language.quantized import Method
from qlab.language.weights import INDEX, Weights, read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LAYERS = "layers.json"
# Everything beside weights and config.json that a tokenizer or a generation may need.
BESIDE = ("*token*", "vocab*", "merges.txt", "generation_config.json", "chat_template*")


def quantize_folder(
    folder: Path,
    method: Method,
    calibration: list[list[int]],
    target: Path,
    device: str = "cpu",
    dtype: str = "float32",
    progress=iter,
) -> None:
    """Write the float model in `folder`, its blocks' linear layers quantized, as folder `target`.

    `calibration` are passages as token ids, run one by one, so nothing is padded. What is not
    quantized (embedding, norms, an untied head) keeps its dtype. A target that is there is left,
    and an unfinished one beside it gone on with: the target's name must say all that decides it.
    QlabError: a quantized folder, widths that do not fit, no passages where some are needed.
    """
    config = decoder.float_config(folder)
    method.check(decoder.shapes(config))
    if method.needs_inputs:
        walk.checked(calibration, config)
    if target.exists():
        return
    unfinished = target.with_name(f"{target.name}.partial")
    with torch.no_grad():
        passages = calibration if method.needs_inputs else []
        stream = _Stream(folder, method, unfinished, walk.Walk(folder, passages, dtype, device))
        for index in progress(range(len(stream.walk))):
            stream.step(index)
        stream.finish()
    try:
        unfinished.rename(target)
    except OSError as error:  # another run was faster: the same bytes
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def load_dense(folder: Path, dtype: str = "float32", device: str = "cpu") -> "PreTrainedModel":
    """The model of a folder, its quantized weights turned into dense ones once; in eval mode."""
    config = decoder.check(folder)
    if not decoder.quantized(config):
        return decoder.load(folder, dtype, device)
    method = formats.stored(config.quantization_config, folder)
    del config.quantization_config  # what is returned is quantized no more
    read = dense_reader(folder, decoder.empty(config), method)
    return decoder.filled(config, read, dtype, device)


def load_packed(folder: Path, device: str = "cpu") -> "PreTrainedModel":
    """The model with the library's own modules and kernels; a float folder is loaded as it is."""
    config = decoder.check(folder)
    if not decoder.quantized(config):
        return decoder.load(folder, device=device)
    return formats.stored(config.quantization_config, folder).load_packed(folder, device)


def dense_reader(folder: Path, model: "PreTrainedModel", method: Method) -> decoder.Read:
    """`read(name, shape)`: a tensor of the dense model, as stored or made of a quantized layer's."""
    weights = Weights(folder)
    stored = decoder.stored_names(model, weights)

    def read(name: str, shape) -> torch.Tensor:
        layer = stored(name).removesuffix(".weight")
        parts = [n for n in weights.names if n.startswith(f"{layer}.") and n != f"{layer}.bias"]
        if not name.endswith(".weight") or parts in ([], [f"{layer}.weight"]):
            return weights.read(stored(name))
        linear = model.get_submodule(name.removesuffix(".weight"))
        tensors = {n.removeprefix(f"{layer}."): weights.read(n) for n in parts}
        return decoder.oriented(linear, method.dense(tensors, decoder.matrix(linear).shape))

    return read


class _Stream:
    """A model on its way into a quantized folder, block by block."""

    def __init__(self, folder: Path, method: Method, partial: Path, on_its_way: walk.Walk):
        self.folder, self.method, self.partial, self.walk = folder, method, partial, on_its_way
        partial.mkdir(parents=True, exist_ok=True)
        finished = [self.shard(i).is_file() for i in range(len(on_its_way))]
        kept = partial / f"inputs-{(finished + [False]).index(False):05d}.safetensors"
        if on_its_way.states and kept.is_file():
            stored = load_file(kept)
            on_its_way.states[:] = [stored[str(i)] for i in range(len(on_its_way.states))]

    def step(self, index: int) -> None:
        """Quantize a block and write it, unless an earlier run did."""
        shard = self.shard(index)
        if shard.is_file():
            return
        prefix = f"{self.walk.prefix}.{index}."
        tensors, notes = {}, {}
        with self.walk.block(index) as block:
            linears = decoder.linears(block)
            # What quantizing a layer changes, the inputs of the later ones see.
            for group in self.walk.groups(index):
                observers = {n: self.method.observe(_weight(linears[n])) for n in group}
                if self.walk.states:
                    self.walk.observe(index, group, _adding(observers))
                for name in group:
                    made, notes[prefix + name] = self._quantize(
                        prefix + name, linears[name], observers[name]
                    )
                    tensors |= {f"{prefix}{name}.{end}": part for end, part in made.items()}
            for name, parameter in block.named_parameters():
                if name.removesuffix(".weight") not in linears:
                    tensors[prefix + name] = self.walk.read(prefix + name, parameter.shape)
            if self.walk.states:
                self.walk.advance(index)
                kept = {str(i): state for i, state in enumerate(self.walk.states)}
                _save(kept, self.partial / f"inputs-{index + 1:05d}.safetensors")
        _write_json(self.partial / f"layer-{index:05d}.json", notes)
        _save(tensors, shard)  # the last: a block is finished when its shard is there
        (self.partial / f"inputs-{index:05d}.safetensors").unlink(missing_ok=True)

    def finish(self) -> None:
        """Everything outside the blocks, and the files beside the weights."""
        model, count = self.walk.model, len(self.walk)
        inside, tied = f"{self.walk.prefix}.", decoder.tied(model)
        tensors = {
            name: self.walk.read(name, parameter.shape)
            for name, parameter in model.named_parameters(remove_duplicate=False)
            if not name.startswith(inside) and name not in tied
        }
        if self.method.config()["quant_method"] == "gptq" and tied:
            # Under auto-gptq, accelerate ties both to the one that is first in the alphabet: the
            # other name alone would be loaded and then replaced by whatever the memory held.
            tensors[min(tied)] = tensors.pop(decoder.embedding_name(model))
        _save(tensors, self.shard(count))
        _write_json(self.partial / INDEX, _index(self.shard(i) for i in range(count + 1)))
        notes = [self.partial / f"layer-{i:05d}.json" for i in range(count)]
        merged = {}
        for path in notes:
            merged |= json.loads(path.read_text())
        write_beside(self.folder, self.partial, self.method.config(), merged)
        for path in [*notes, *self.partial.glob("inputs-*.safetensors")]:
            path.unlink()

    def shard(self, index: int) -> Path:
        """The file of a block; the one after the last holds everything else."""
        count = len(self.walk) + 1
        return self.partial / f"model-{index + 1:05d}-of-{count:05d}.safetensors"

    def _quantize(self, name: str, linear: torch.nn.Module, observer) -> tuple[dict, dict]:
        """Quantize one layer in place; its tensors for the file, and notes on how it went."""
        start = time.perf_counter()
        try:
            made = self.method.quantize(_weight(linear), observer)
        except QlabError as error:
            raise QlabError(f"{name}: {error}") from error
        linear.weight.data = decoder.oriented(linear, made.dense).to(linear.weight)
        tensors = {end: tensor.cpu().contiguous() for end, tensor in made.tensors.items()}
        if linear.bias is not None:
            tensors["bias"] = self.walk.read(f"{name}.bias", linear.bias.shape)
        seconds = round(time.perf_counter() - start, 3)
        return tensors, {"damping": made.damping, "seconds": seconds}


def _weight(linear: torch.nn.Module) -> torch.Tensor:
    return decoder.matrix(linear).float()


def _adding(observers: dict) -> walk.Seen:
    return lambda name, inputs, output: observers[name].add_batch(inputs.detach(), output.detach())


def write_beside(folder: Path, target: Path, settings: dict[str, Any], notes: dict) -> None:
    """All that lies beside the weights of `folder`, quantized with `settings`, in `target`."""
    config = read_json(folder, "config.json") | {"quantization_config": settings}
    _write_json(target / "config.json", config)
    if settings["quant_method"] == "gptq":
        # auto-gptq opens this one in a local folder, without looking whether it is there.
        _write_json(target / "quantize_config.json", settings)
    _write_json(target / LAYERS, notes)
    for pattern in BESIDE:
        for path in folder.glob(pattern):
            shutil.copyfile(path, target / path.name)


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
