"""Quantize a model folder with one decoder block in memory at a time, and load what came out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel

from qlab.core.errors import QlabError
from qlab.language import configuration, decoder, formats
from qlab.language.configuration import INDEX, Weights
from qlab.language.quantized import Method, Tensors
from qlab.language.walk import Walk

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
    widths that do not fit.
    """
    method.check(decoder.shapes(configuration.read(folder)))
    through = Walk(folder, calibration if method.needs_inputs else [], dtype, device)
    settings, count, shards = method.config(), len(through), {}
    for index in progress(range(count)):
        shards |= _saved(_block(through, index, method), target, index + 1, count)
    inside = f"{through.prefix}."
    outside = kept(through.model, through.read, settings, lambda name: name.startswith(inside))
    shards |= _saved(outside, target, count + 1, count)
    size = sum(path.stat().st_size for path in target.glob("*.safetensors"))
    _write_json(target / INDEX, {"metadata": {"total_size": size}, "weight_map": shards})
    write_beside(folder, target, settings)


def _block(through: Walk, index: int, method: Method) -> Tensors:
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
                made = _layer(prefix + name, linears[name], method, observers[name])
                tensors |= {f"{prefix}{name}.{end}": part for end, part in made.items()}
        for name, _ in block.named_parameters():
            if name.removesuffix(".weight") not in linears:
                tensors[prefix + name] = through.read(prefix + name)
        through.advance(index)
    return tensors


def _layer(name: str, linear, method: Method, observer) -> Tensors:
    """Quantize one layer in place; its tensors for the file."""
    try:
        made = method.quantize(decoder.matrix(linear).float(), observer)
    except QlabError as error:
        raise QlabError(f"{name}: {error}") from error
    linear.weight.data = decoder.oriented(linear, made.dense).to(linear.weight)
    return {end: tensor.cpu().contiguous() for end, tensor in made.tensors.items()}


def kept(
    model: PreTrainedModel,
    read: decoder.Read,
    settings: dict[str, Any],
    without: Callable[[str], bool],
) -> Tensors:
    """Parameters as the float folder stores them, but those `without`, under the names by which a
    folder of these settings has them."""
    tied = decoder.tied(model)
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    found = {name: read(name) for name in names if not (name in tied or without(name))}
    if tied and settings["quant_method"] == "gptq":
        # Under auto-gptq, accelerate ties both to the one that is first in the alphabet: the
        # other name alone would be loaded and then replaced by whatever the memory held.
        found[min(tied)] = found.pop(decoder.embedding_name(model))
    return found


def _saved(tensors: Tensors, target: Path, number: int, blocks: int) -> dict[str, str]:
    """Write a shard; which file each of its tensors lies in."""
    name = f"model-{number:05d}-of-{blocks + 1:05d}.safetensors"
    save_file(tensors, target / name, metadata={"format": "pt"})
    return dict.fromkeys(tensors, name)


def write_beside(folder: Path, target: Path, settings: dict[str, Any]) -> None:
    """All that lies beside the weights of `folder`, quantized with `settings`, in `target`."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    _write_json(target / "config.json", config | {"quantization_config": settings})
    if settings["quant_method"] == "gptq":
        # auto-gptq opens this one in a local folder, without looking whether it is there.
        _write_json(target / "quantize_config.json", settings)
    for pattern in BESIDE:
        for path in folder.glob(pattern):
            shutil.copyfile(path, target / path.name)


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def load_dense(
    folder: Path, dtype: str = "float32", device: str = "cpu", method: Method | None = None
) -> PreTrainedModel:
    """The model of a folder in eval mode, its quantized weights turned into dense ones once, as by
    `dense_reader`."""
    config = configuration.read(folder)
    if not configuration.quantized(config):
        return decoder.load(folder, dtype, device)
    del config.quantization_config  # what is returned is quantized no more
    model = decoder.empty(config)
    return decoder.filled(model, dense_reader(folder, model, method), dtype, device)


def load_packed(folder: Path, device: str = "cpu") -> PreTrainedModel:
    """The model with the library's own modules and kernels; a float folder is loaded as it is."""
    config = configuration.read(folder)
    if not configuration.quantized(config):
        return decoder.load(folder, device=device)
    return formats.stored(config.quantization_config, folder).load_packed(folder, device)


def dense_reader(
    folder: Path, model: PreTrainedModel, method: Method | None = None
) -> decoder.Read:
    """What reads tensors of the dense model, as they are stored or of a quantized layer: by the
    method that made it or, if none is given, the one that its configuration names."""
    settings, weights = configuration.read(folder).quantization_config, Weights(folder)
    method = method or formats.stored(settings, folder)
    stored = decoder.stored_names(model, weights)

    def read(name: str) -> torch.Tensor:
        layer = stored(name).removesuffix(".weight")
        parts = [n for n in weights.files if n.startswith(f"{layer}.") and n != f"{layer}.bias"]
        if not name.endswith(".weight") or parts in ([], [f"{layer}.weight"]):
            return weights.read(stored(name))
        linear = model.get_submodule(name.removesuffix(".weight"))
        tensors = {n.removeprefix(f"{layer}."): weights.read(n) for n in parts}
        return decoder.oriented(linear, method.dense(tensors, decoder.matrix(linear).shape))

    return read
