"""Which method reads a folder that is quantized already, by its `quantization_config`."""

from pathlib import Path
from typing import Any

from qlab.core.errors import QlabError
from qlab.language import awq, bnb, gptq
from qlab.language.quantized import Method


def stored(settings: dict[str, Any], folder: Path) -> Method:
    """The method that reads a folder; QlabError for a format that none here does.

    GPTQ and AutoRound in GPTQ's first format with any group size and column order, bitsandbytes
    and AWQ.
    """
    kind = settings.get("quant_method")
    packing = str(settings.get("packing_format", ""))
    if kind == "bitsandbytes":
        return bnb.Stored(settings)
    if kind == "awq" or (kind == "auto-round" and "awq" in packing):
        return awq.Stored(settings)
    second = settings.get("checkpoint_format") == "gptq_v2" or "gptqmodel" in packing
    if kind in ("gptq", "auto-round") and not second:
        found = gptq.RoundToNearest(settings["bits"], settings["group_size"])
        found.kind = kind.replace("-", "")  # how it was made is not for records to guess
        return found
    raise QlabError(
        f"{folder} is quantized by {kind!r} in a way that is not read here; GPTQ's first format, "
        "AutoRound in it, bitsandbytes and AWQ are."
    )
