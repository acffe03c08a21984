"""What a Llama folder's bytes are: body, embedding and head, scales and zeros, container."""

import json
import struct
from pathlib import Path

from qlab.errors import QlabError

PARTS = ("body", "embedding", "scales", "container")  # of a folder's bytes
# Endings of tensors that describe a quantized weight: GPTQ's, then bitsandbytes'.
_SCALES = (".scales", ".qzeros", ".g_idx")
_SCALES += (".SCB", ".weight_format", ".absmax", ".quant_map", ".nested_absmax")
_SCALES += (".nested_quant_map", ".quant_state.bitsandbytes__nf4")
_SCALES += (".quant_state.bitsandbytes__fp4",)
KILOBYTE = 1024  # bytes, as the report counts
_JSON = ("config.json", "model.safetensors.index.json", "adapter_config.json")


def part(name: str) -> str:
    """Which part of the file a tensor belongs to."""
    if name.endswith(_SCALES):
        return "scales"
    return "embedding" if "embed_tokens" in name or "lm_head" in name else "body"


def split(*folders: Path) -> dict[str, int]:
    """Bytes by part over all safetensors files of the folders (a model's, an adapter's).

    `body` is everything the decoder layers and the last norm store for weights, `scales` what
    goes with quantized ones, `container` the files' headers and the JSON a loader needs. The
    tokenizer is left out: it is the same for every variant.
    QlabError: a folder without safetensors files.
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


def _header(file: Path) -> tuple[int, dict]:
    """Bytes of a safetensors header with its length field, and its entries by tensor name."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        entries = json.loads(stream.read(length))
    entries.pop("__metadata__", None)
    return 8 + length, entries
