"""What a Llama folder's bytes are: body, embedding and head, scales and zeros, container."""

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from qlab.core.errors import QlabError
from qlab.language import device, llama, methods

if TYPE_CHECKING:
    from transformers import LlamaConfig

PARTS = ("body", "embedding", "scales", "container")  # of a folder's bytes
# Endings of tensors that describe a quantized weight: GPTQ's, then bitsandbytes'.
_SCALES = (".scales", ".qzeros", ".g_idx", ".SCB", ".weight_format", ".absmax", ".quant_map")
_SCALES += (".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4")
KILOBYTE = 1024  # bytes, as the report counts
_JSON = ("config.json", "model.safetensors.index.json", "adapter_config.json")


def part(name: str) -> str:
    """Which part of the file a tensor belongs to."""
    if name.endswith(_SCALES):
        return "scales"
    return "embedding" if "embed_tokens" in name or "lm_head" in name else "body"


def split(*folders: Path) -> dict[str, int]:
    """Bytes by part over all safetensors files of the folders (a model's, an adapter's).

    `body` is what decoder layers and the last norm store for weights, `scales` what goes with
    quantized ones, `container` headers and the JSON a loader needs. The tokenizer is left out: it
    is the same for every variant. QlabError: a folder without safetensors files.
    """
    found = dict.fromkeys(PARTS, 0)
    for folder in folders:
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise QlabError(f"There are no safetensors files in {folder} to measure.")
        for file in files:
            header, entries = _header(file)
            found["container"] += header
            for name, entry in entries.items():
                start, end = entry["data_offsets"]
                found[part(name)] += end - start
        found["container"] += sum(f.stat().st_size for n in _JSON for f in folder.glob(n))
    return found


def expected(variant: str, config: "LlamaConfig", dtype: str) -> int:
    """Bytes of a variant's tensors before it is made; of adapters, nothing.

    A linear layer [out, in] in b bits has out * in * b / 8, and in groups of g of its inputs a
    scale of 16 bits and a zero-point of b for each output, and the group of each input in 32.
    bitsandbytes keeps 32 bits for 64 weights (nf4, fp4) or for an output (int8, and a byte that
    names the layout). All else stays in `dtype`, or is of 16 bits in `fp16`.
    """
    method, bits, group = methods.ABOUT[variant]
    total = llama.empty(config).num_parameters()
    if method is None:
        return total * bits // 8
    shapes = [*llama.linear_shapes(config).values()] * config.num_hidden_layers
    linear = sum(out * inputs for out, inputs in shapes)
    packed = (total - linear) * device.BYTES[dtype] + linear * bits // 8
    if group:
        return packed + sum(out * (i // group) * (16 + bits) // 8 + 4 * i for out, i in shapes)
    if bits == 8:
        return packed + sum(4 * out + 1 for out, _ in shapes)
    return packed + linear // 64 * 4


def _header(file: Path) -> tuple[int, dict]:
    """Bytes of a safetensors header with its length field, and its entries by tensor name."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        entries = json.loads(stream.read(length))
    entries.pop("__metadata__", None)
    return 8 + length, entries
