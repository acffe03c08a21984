"""Quantize a model folder with one decoder block in memory at a time, and load what came out."""

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from qlab.core.errors import QlabError
from qlab.language import configuration, decoder, formats
from qlab.language.quantized import Method
from qlab.language.walk import Walk, checked
from qlab.language.weights import INDEX, Weights, read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LAYERS = "layers.json"  # damping and seconds of each linear layer
# Everything beside weights and config.json that a tokenizer or a generation may need.
BESIDE = ("*token*", "vocab*", "merges.txt", "generation_config.json", "chat_template*")


@torch.no_grad()
def quantize_folder(
    folder: Path,
    method: Method,
    calibration: list[list[int]],
    target: Path,
    device: str = "cpu",
    dtype: str = "float32",
    progress=iter,
) -> None:
    """Fill `target` with the float model in `folder`, the linear layers of its blocks quantized.

    `calibration` are passages as token ids, run one by one, so nothing is padded. What is not
    quantized (embedding, norms, an untied head) keeps its dtype. QlabError: a quantized folder,
    widths that do not fit, no passages where some are needed.
    """
    config = configuration.of_float(folder)
    method.check(decoder.shapes(config))
    if method.needs_inputs:
        checked(calibration, config)
    through = Walk(folder, calibration if method.needs_inputs else [], dtype, device)
    shards, notes = {}, {}
    for index in progress(range(len(through))):
        tensors = _block(through, index, method, notes)
        shards |= _saved(tensors, target, index + 1, len(through))
    shards |= _saved(outside(through, method), target, len(through) + 1, len(through))
    size = sum(path.stat().st_size for path in target.glob("*.safetensors"))
    _write_json(target / INDEX, {"metadata": {"total_size": size}, "weight_map": shards})
    write_beside(folder, target, method.config(), notes)


def _block(through: Walk, index: int, method: Method, notes: dict) -> dict[str, torch.Tensor]:
    """The tensors of a quantized block; all passages have left it afterwards."""
    prefix, tensors = f"{through.prefix}.{index}.", {}
    with through.block(index) as block:
        linears = decoder.linears(block)
        # What quantizing a layer changes, the inputs of the later ones see.
        for group in through.groups(index):
            observers = {n: method.observe(decoder.matrix(linears[n]).float()) for n in group}
            if through.states:
                through.observe(index, group, lambda n, x, y, to=observers: to[n].add_batch(x, y))
            for name in group:
                made = _layer(prefix + name, linears[name], method, observers[name], notes)
                tensors |= {f"{prefix}{name}.{end}": part for end, part in made.items()}
        for name, parameter in block.named_parameters():
            if name.removesuffix(".weight") not in linears:
                tensors[prefix + name] = through.read(prefix + name, parameter.shape)
        through.advance(index)
    return tensors


def _layer(name: str, linear, method: Method, observer, notes: dict) -> dict[str, torch.Tensor]:
    """Quantize one layer in place; its tensors for the file."""
    start = time.perf_counter()
    try:
        made = method.quantize(decoder.matrix(linear).float(), observer)
    except QlabError as error:
        raise QlabError(f"{name}: {error}") from error
    linear.weight.data = decoder.oriented(linear, made.dense).to(linear.weight)
    notes[name] = {"damping": made.damping, "seconds": round(time.perf_counter() - start, 3)}
    return {end: tensor.cpu().contiguous() for end, tensor in made.tensors.items()}


def outside(through: Walk, method: Method) -> dict[str, torch.Tensor]:
    """The tensors outside the blocks, as a folder of this method stores them."""
    inside, tied = f"{through.prefix}.", decoder.tied(through.model)
    found = {
        name: through.read(name, parameter.shape)
        for name, parameter in through.model.named_parameters(remove_duplicate=False)
        if not name.startswith(inside) and name not in tied
    }
    if method.config()["quant_method"] == "gptq" and tied:
        # Under auto-gptq, accelerate ties both to the one that is first in the alphabet: the
        # other name alone would be loaded and then replaced by whatever the memory held.
        found[min(tied)] = found.pop(decoder.embedding_name(through.model))
    return found


def _saved(tensors: dict[str, torch.Tensor], target: Path, number: int, blocks: int) -> dict:
    """Write a shard; which file each of its tensors lies in."""
    name = f"model-{number:05d}-of-{blocks + 1:05d}.safetensors"
    save_file(tensors, target / name, metadata={"format": "pt"})
    return dict.fromkeys(tensors, name)


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


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def load_dense(
    folder: Path, dtype: str = "float32", device: str = "cpu", method: Method | None = None
) -> "PreTrainedModel":
    """The model of a folder, its quantized weights turned into dense ones once, by the method that
    made it or, if none is given, the one that its configuration names; in eval mode."""
    config = configuration.check(folder)
    if not configuration.quantized(config):
        return decoder.load(folder, dtype, device)
    method = method or formats.stored(config.quantization_config, folder)
    del config.quantization_config  # what is returned is quantized no more
    read = dense_reader(folder, decoder.empty(config), method)
    return decoder.filled(config, read, dtype, device)


def load_packed(folder: Path, device: str = "cpu") -> "PreTrainedModel":
    """The model with the library's own modules and kernels; a float folder is loaded as it is."""
    config = configuration.check(folder)
    if not configuration.quantized(config):
        return decoder.load(folder, device=device)
    return formats.stored(config.quantization_config, folder).load_packed(folder, device)


def dense_reader(folder: Path, model: "PreTrainedModel", method: Method) -> decoder.Read:
    """`read(name, shape)`: a tensor of the dense model, stored or of a quantized layer."""
    weights = Weights(folder)
    stored = decoder.stored_names(model, weights)

    def read(name: str, _) -> torch.Tensor:
        layer = stored(name).removesuffix(".weight")
        parts = [n for n in weights.names if n.startswith(f"{layer}.") and n != f"{layer}.bias"]
        if not name.endswith(".weight") or parts in ([], [f"{layer}.weight"]):
            return weights.read(stored(name))
        linear = model.get_submodule(name.removesuffix(".weight"))
        tensors = {n.removeprefix(f"{layer}."): weights.read(n) for n in parts}
        return decoder.oriented(linear, method.dense(tensors, decoder.matrix(linear).shape))

    return read
