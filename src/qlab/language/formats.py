"""Which method reads a folder that is quantized already, by its `quantization_config`."""

from pathlib import Path
from typing import Any

import torch

from qlab.core.errors import QlabError
from qlab.language import bnb, gptq
from qlab.language.quantized import Method, Tensors


def stored(settings: dict[str, Any], folder: Path) -> Method:
    """The method that reads a folder: GPTQ and AutoRound in GPTQ's first format with any group size
    and column order, bitsandbytes, AWQ. QlabError for another format."""
    kind, packing = settings.get("quant_method"), str(settings.get("packing_format", ""))
    if kind == "bitsandbytes":
        return bnb.Stored(settings)
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
    """AWQ's checkpoints (Lin et al., arXiv 2306.00978) read as dense weights, and nothing more.

    The layout is that of AutoAWQ's version "gemm": `qweight` int32 [in, out / 8] and `qzeros` int32
    [groups, out / 8] hold eight numbers of 4 bits a word, `scales` are float16 [groups, out]; a
    weight is scale * (q - zero).
    """

    kind, bits = "awq", 4
    ORDER = (0, 4, 1, 5, 2, 6, 3, 7)  # place in its word of the column that comes first, ...

    def __init__(self, group_size: int):
        self.group_size = group_size

    def dense(self, tensors: Tensors, shape: tuple[int, int]) -> torch.Tensor:
        """The weight [out, in], float32, of what was stored."""
        shifts = 4 * torch.tensor(self.ORDER, dtype=torch.int32)
        words = (tensors["qweight"], tensors["qzeros"])
        levels, zeros = (((part[:, :, None] >> shifts) & 15).flatten(1) for part in words)
        group = torch.arange(len(levels)) // (len(levels) // len(zeros))
        return ((levels - zeros[group]) * tensors["scales"].float()[group]).t().contiguous()
