"""What a model folder's bytes are: body, embedding and head, scales and zeros, container."""

from pathlib import Path

from safetensors import safe_open

PARTS = ("body", "embedding", "scales", "container")  # of a folder's bytes
KILOBYTE = 1024  # bytes, as the report counts
# Endings of tensors that describe a quantized weight: GPTQ's, then bitsandbytes'.
_SCALES = (".scales", ".qzeros", ".g_idx", ".SCB", ".weight_format", ".absmax", ".quant_map")
_SCALES += (".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4")
# Parts of the names of embeddings and heads in the families that transformers has.
_EMBEDDINGS = ("embed", "lm_head", "wte", "wpe")
_JSON = ("config.json", "model.safetensors.index.json", "adapter_config.json")


def split(*folders: Path) -> dict[str, int]:
    """Bytes by part over all safetensors files of the folders (a model's, an adapter's): `scales`
    is what goes with quantized weights, `container` headers and the JSON a loader needs."""
    found = dict.fromkeys(PARTS, 0)
    for folder in folders:
        files = list(folder.glob("*.safetensors"))
        stored = files + [folder / name for name in _JSON if (folder / name).is_file()]
        found["container"] += sum(file.stat().st_size for file in stored)
        for file in files:
            with safe_open(file, "pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118
                    size = tensors.get_tensor(name).nbytes  # of the map: nothing is read
                    found[_part(name)] += size
                    found["container"] -= size
    return found


def _part(name: str) -> str:
    if name.endswith(_SCALES):
        return "scales"
    return "embedding" if any(end in name for end in _EMBEDDINGS) else "body"
