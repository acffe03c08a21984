"""AWQ's checkpoints (Lin et al., arXiv 2306.00978) read as dense weights, and nothing more.

The layout is that of AutoAWQ's version "gemm": `qweight` int32 [in, out / 8] and `qzeros` int32
[groups, out / 8] hold eight numbers of 4 bits a word, `scales` are float16 [groups, out]; a weight
is scale * (q - zero).
"""

from typing import Any

import torch

from qlab.core.errors import QlabError
from qlab.language.quantized import Method

ORDER = (0, 4, 1, 5, 2, 6, 3, 7)  # place in its word of the column that comes first, second, ...


class Stored(Method):
    """A folder of AWQ; QlabError for a layout other than 4 bits, "gemm"."""

    kind = "awq"

    def __init__(self, settings: dict[str, Any]):
        version = str(settings.get("version", "gemm")).lower()
        self.bits, self.group_size = settings.get("bits", 4), settings.get("group_size", 128)
        if (self.bits, version) != (4, "gemm"):
            raise QlabError(
                f"AWQ of {self.bits} bits, version {version!r}, is not read; 4 is, gemm."
            )

    def dense(self, tensors: dict[str, torch.Tensor], shape=None) -> torch.Tensor:
        """The weight [out, in], float32, of what was stored."""
        levels, zeros = (_columns(tensors[name]) for name in ("qweight", "qzeros"))
        scales = tensors["scales"].float()
        size = len(levels) // len(scales)
        zeros, scales = (part.repeat_interleave(size, dim=0) for part in (zeros, scales))
        return ((levels - zeros) * scales).t().contiguous()


def _columns(words: torch.Tensor) -> torch.Tensor:
    """int32 [rows, 8 n] in 0 .. 15 of words, int32 [rows, n]."""
    shifts = 4 * torch.tensor(ORDER, dtype=torch.int32)
    return ((words[:, :, None] >> shifts) & 15).flatten(1)
