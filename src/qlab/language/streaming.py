"""Quantize a model folder with one decoder block in memory at a time; load it, or others."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from qlab.core.errors import QlabError
from qlab.language import checkpoint, decoder, gptq
from qlab.language.quantized import Method, Shapes, Tensors

# Everything beside weights and config.json that a tokenizer or text generation may need.
BESIDE = ("*token*", "vocab*", "merges.txt", "generation_config.json", "chat_template*")


@torch.no_grad()
def quantize_folder(
    folder: Path, method: Method, calibration, target: Path, device="cpu", dtype="float32",
    progress=iter,
) -> None:  # fmt: skip
    """Fill `target` with the float model in `folder`, the linear layers of its blocks quantized.
    `calibration` are passages as token ids, run one by one, unpadded. QlabError: the folder is
    quantized already, or widths do not fit."""
    method.check(decoder.shapes(checkpoint.read_config(folder)))
    through = decoder.Walk(folder, calibration if method.needs_inputs else [], dtype, device)
    settings, inside, shards = method.config(), f"{through.prefix}.", {}

    def save(tensors: Tensors) -> None:
        number = len(set(shards.values())) + 1
        name = f"model-{number:05d}-of-{len(through.blocks) + 1:05d}.safetensors"
        save_file(tensors, target / name, metadata={"format": "pt"})
        shards.update(dict.fromkeys(tensors, name))

    for index, block, groups in through.each(progress):
        prefix, tensors, linears = f"{inside}{index}.", {}, decoder.linears(block)
        for group in groups:
            observers = {n: method.observe(decoder.matrix(linears[n]).float()) for n in group}
            if through.states:
                through.observe(index, group, lambda n, x, y, to=observers: to[n].add_batch(x, y))
            for name in group:
                linear = linears[name]
                try:
                    made = method.quantize(decoder.matrix(linear).float(), observers[name])
                except QlabError as error:
                    raise QlabError(f"{prefix}{name}: {error}") from error
                # In place: later layers see the effect of earlier ones.
                linear.weight.data = decoder.oriented(linear, made.dense).to(linear.weight)
                parts = {end: tensor.cpu().contiguous() for end, tensor in made.tensors.items()}
                tensors |= {f"{prefix}{name}.{end}": tensor for end, tensor in parts.items()}
        rest = [n for n, _ in block.named_parameters() if n.removesuffix(".weight") not in linears]
        save(tensors | {prefix + name: through.read(prefix + name) for name in rest})
    names = {name for name, _ in through.model.named_parameters() if name.startswith(inside)}
    save(kept(through.model, through.read, settings, names))
    size = {"total_size": sum(p.stat().st_size for p in target.glob("*.safetensors"))}
    _write_json(target / checkpoint.INDEX, {"metadata": size, "weight_map": shards})
    write_beside(folder, target, settings)


def kept(model, read: decoder.Read, settings: dict, without: set[str]) -> Tensors:
    """The float folder's parameters except those in `without`, under the names that a folder with
    these settings has for them."""
    tied = decoder.tied(model)
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    found = {name: read(name) for name in names if name not in tied | without}
    if tied and settings["quant_method"] == "gptq":
        # Under auto-gptq, accelerate ties both to the one that is first in the alphabet: the
        # other name alone would be loaded and then replaced by whatever the memory held.
        found[min(tied)] = found.pop(decoder.embedding_name(model))
    return found


def write_beside(folder: Path, target: Path, settings: dict[str, Any]) -> None:
    """Write to `target` what lies beside the weights of `folder`, quantized with `settings`."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    _write_json(target / "config.json", config | {"quantization_config": settings})
    if settings["quant_method"] == "gptq":
        # In a local folder, auto-gptq opens this file without checking that it is there.
        _write_json(target / "quantize_config.json", settings)
    for path in (path for pattern in BESIDE for path in folder.glob(pattern)):
        shutil.copyfile(path, target / path.name)


def name_the_embedding(folder: Path) -> None:
    """Store a tied embedding, which GPTQ's format has as the head, under its own name too:
    auto-gptq wants only the head's name (see `kept`), transformers both."""
    model = decoder.empty(checkpoint.read_config(folder))
    name, weights = decoder.embedding_name(model), decoder.weights(folder, model)
    file, stored = weights.files[name]
    if stored not in decoder.tied(model):
        return
    own = {n for n, (place, _) in weights.files.items() if place == file}
    save_file({n: weights.read(n) for n in own}, file, metadata={"format": "pt"})
    index = folder / checkpoint.INDEX
    if index.is_file():
        content = json.loads(index.read_text())
        content["weight_map"][name] = file.name
        _write_json(index, content)


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def load_dense(
    folder: Path, dtype: str = "float32", device: str = "cpu", method: Method | None = None
) -> PreTrainedModel:
    """The model of a folder in eval mode, its quantized weights turned once into dense ones."""
    config = checkpoint.read_config(folder)
    if checkpoint.quantized(config):
        del config.quantization_config  # what is returned is quantized no more
    model = decoder.empty(config)
    return decoder.filled(model, dense_reader(folder, model, method), dtype, device)


def load_packed(folder: Path, device: str = "cpu") -> PreTrainedModel:
    """The model with the library's own modules and kernels; a float folder is loaded as it is."""
    method = stored(folder)
    return method.load_packed(folder, device) if method else load_dense(folder, device=device)


def dense_reader(folder: Path, model, method: Method | None = None) -> decoder.Read:
    """A function that reads tensors of the dense model: a quantized layer's by the method that made
    it or, if none is given, the one that the configuration names."""
    method, weights = method or stored(folder), decoder.weights(folder, model)

    def read(name: str) -> torch.Tensor:
        layer = name.removesuffix(".weight")
        parts = [n for n in weights.files if n.startswith(f"{layer}.") and n != f"{layer}.bias"]
        if layer == name or parts in ([], [name]):
            return weights.read(name)
        linear = model.get_submodule(layer)
        tensors = {n.removeprefix(f"{layer}."): weights.read(n) for n in parts}
        return decoder.oriented(linear, method.dense(tensors, decoder.matrix(linear).shape))

    return read


def stored(folder: Path) -> Method | None:
    """The method that reads a folder: GPTQ and AutoRound in GPTQ's first format with any group size
    and column order, bitsandbytes, AWQ; None for a float one. QlabError for another format."""
    config = checkpoint.read_config(folder)
    if not checkpoint.quantized(config):
        return None
    settings = config.quantization_config
    kind, packing = settings.get("quant_method"), str(settings.get("packing_format", ""))
    if kind == "bitsandbytes":
        return Bnb(settings)
    if kind == "awq" or "awq" in packing:
        layout = (settings.get("bits", 4), str(settings.get("version", "gemm")).lower())
        if layout == (4, "gemm"):
            return Awq(settings.get("group_size", 128))
    first = settings.get("checkpoint_format") != "gptq_v2" and "gptqmodel" not in packing
    if kind in ("gptq", "auto-round") and "awq" not in packing and first:
        found = gptq.RoundToNearest(settings["bits"], settings["group_size"])
        found.kind = kind.replace("-", "")  # how it was made is not for records to guess
        return found
    raise QlabError(
        f"{folder} is quantized by {kind!r} in a way that is not read here; GPTQ's first format, "
        "AutoRound in it, bitsandbytes and AWQ of 4 bits, version gemm, are."
    )


class Awq(Method):
    """AWQ checkpoints (Lin et al., arXiv 2306.00978), which are only read, as dense weights. The
    layout is that of AutoAWQ's version "gemm": `qweight` int32 [in, out / 8] and `qzeros` int32
    [groups, out / 8] hold eight numbers of 4 bits per word, `scales` are float16 [groups, out]; a
    weight is scale * (q - zero)."""

    kind, bits = "awq", 4
    ORDER = (0, 4, 1, 5, 2, 6, 3, 7)  # place within a word of its first column, its second, ...

    def __init__(self, group_size: int):
        self.group_size = group_size

    def dense(self, tensors: Tensors, shape: tuple[int, int]) -> torch.Tensor:
        """The weight [out, in], float32, that the stored tensors stand for."""
        shifts = 4 * torch.tensor(self.ORDER, dtype=torch.int32)
        words = (tensors["qweight"], tensors["qzeros"])
        levels, zeros = (((part[:, :, None] >> shifts) & 15).flatten(1) for part in words)
        group = torch.arange(len(levels)) // (len(levels) // len(zeros))
        return ((levels - zeros[group]) * tensors["scales"].float()[group]).t().contiguous()


def check_four_bits(shapes: Shapes) -> None:
    """QlabError for widths that bitsandbytes' CPU kernel would refuse late, by an assertion."""
    for layer, (outputs, inputs) in shapes.items():
        if inputs % 64 or outputs % 32:  # weights per absmax, rows that it takes at a time
            raise QlabError(
                "bitsandbytes' 4 bits need input widths divisible by 64 and output widths by 32; "
                f"{layer} has {inputs} inputs and {outputs} outputs. Take 8 bits, or pad them."
            )


class Bnb(Method):
    """What bitsandbytes stores, by its `quantization_config`: int8 (LLM.int8()), nf4 and fp4.

    - 4 bits (Dettmers et al., arXiv 2305.14314): every 64 neighbouring weights of a row share the
      largest magnitude among them (`absmax`), and each is rounded to one of 16 values. On a CPU
      with AVX512-BF16 the kernel multiplies in bfloat16: logits are some 0.3 % off float32's.
    - 8 bits (Dettmers et al., arXiv 2208.07339): each row is rounded to -127..127 steps of its
      largest magnitude / 127. At run time, inputs are rounded too, so it is evaluated as it runs.
    """

    kind = "bnb"

    def __init__(self, settings: dict[str, Any]):
        self.bits = 4 if settings.get("load_in_4bit") else 8
        self.weight_only = self.bits == 4

    def dense(self, tensors: Tensors, shape: tuple[int, int]) -> torch.Tensor:
        """The weight [out, in], float32, that the stored tensors stand for."""
        if self.bits == 8:
            return tensors["weight"].float() * (tensors["SCB"][:, None] / 127)
        # from_dict empties the dict it is given, and expects names without the prefix.
        parts = {n.removeprefix("weight."): p for n, p in tensors.items() if n != "weight"}
        functional = bitsandbytes()
        state = functional.QuantState.from_dict(parts, device=tensors["weight"].device)
        return functional.dequantize_4bit(tensors["weight"], state).float()

    def load_packed(self, folder: Path, device: str):
        """The folder's model in bitsandbytes' own modules and kernels; everything else in float32
        on a CPU and float16 elsewhere."""
        kind = torch.float32 if device == "cpu" else torch.float16
        bitsandbytes()
        disable_progress_bar()  # for shards that load in no time
        model = AutoModelForCausalLM.from_pretrained(
            folder, device_map={"": device}, torch_dtype=kind, local_files_only=True
        )
        for module in model.modules():
            if hasattr(module, "compute_dtype"):  # 4 bit: float32 as stored would be slow on a GPU
                module.compute_dtype = kind
        return model.eval()


def bitsandbytes():
    """bitsandbytes' functions, without its note that an optional kernel is absent, and without the
    line that LLM.int8() logs at each call: inputs cast to float16."""
    for name in ("backends.cpu.ops", "autograd._functions"):
        logging.getLogger(f"bitsandbytes.{name}").setLevel(logging.ERROR)
    import bitsandbytes.functional as functional

    return functional
