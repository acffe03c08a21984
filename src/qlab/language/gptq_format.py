"""The GPTQ checkpoint format: how a linear layer's weights lie in `qweight`, `qzeros`, `scales`.

A weight [out, in] is cut along `in` into groups; row o of group g has a scale s and a zero-point
z, and its element is s * (q - z) with q of 2, 3, 4 or 8 bits. Stored are

- `qweight` int32 [in * bits / 32, out]: q, one after another along `in`, lowest bits first,
- `qzeros` int32 [groups, out * bits / 32]: z - 1 likewise along `out` (the format's old quirk),
- `scales` float16 [groups, out], and `g_idx` int32 [in], the group of each column.

Packing is auto-gptq's own; unpacking, written here, tells whether what was packed was meant.
"""

import torch

from qlab.core.errors import QlabError
from qlab.language import auto_gptq_compat
from qlab.language.quantized import Tensors

SUFFIXES = ("qweight", "qzeros", "scales", "g_idx")  # ends of the names of a layer's tensors
WORD = 32  # bits of an int32, into which weights are packed
HALF = torch.finfo(torch.float16)  # limits of the scales' type


def pack(weight, scales, zeros, bits: int, group_size: int) -> Tensors:
    """The four tensors of weights [out, in] that lie on a grid: scales, zeros [out, groups].

    QlabError: a zero-point outside 1 .. 2^bits. Asymmetric grids have 0 there, which the format
    stores as -1, whose sign bits auto-gptq's `pack` writes over the zero-points of other rows.
    """
    if zeros.min() < 1 or zeros.max() > 2**bits:
        raise QlabError(
            f"GPTQ's format stores zero-points of 1 to {2**bits} in {bits} bits; these are "
            f"{zeros.min():g} to {zeros.max():g}. Quantize symmetrically (sym=True)."
        )
    rows, columns = weight.shape
    packed = auto_gptq_compat.packed_linear(bits, group_size, columns, rows, bias=False)
    # `pack` finds the integers anew, as weight / scale + zero, so it is given the scales as they
    # will be stored, and weights within their reach: a number too large spills into others.
    scales, zeros = scales.detach().cpu().half().float(), zeros.detach().cpu().float()
    low, high = -zeros * scales, (2**bits - 1 - zeros) * scales
    grouped = weight.detach().float().cpu().unflatten(1, (-1, group_size))
    linear = torch.nn.Linear(columns, rows, bias=False, device="meta")
    reached = grouped.clamp(low[..., None], high[..., None]).flatten(1)
    linear.weight = torch.nn.Parameter(reached, requires_grad=False)
    # A copy, because `pack` subtracts 1 in place from zero-points of a single group.
    packed.pack(linear, scales, zeros.clone(), packed.g_idx)
    packed.scales = packed.scales.half()
    return {end: getattr(packed, end).contiguous() for end in SUFFIXES}


def unpack(tensors: Tensors, bits: int) -> torch.Tensor:
    """The weights [out, in], float32, that the four tensors stand for."""
    groups = tensors["g_idx"].long()
    zeros = integers(tensors["qzeros"].t(), bits).t() + 1
    if bits != 3:
        zeros &= 2**bits - 1  # 2^bits reads as 0, as in auto-gptq
    steps = (integers(tensors["qweight"], bits) - zeros[groups]).float()
    return (steps * tensors["scales"].float()[groups]).t().contiguous()


def integers(words: torch.Tensor, bits: int) -> torch.Tensor:
    """int32 [32 n, columns] in 0 .. 2^bits - 1 from words, int32 [n * bits, columns].

    32 numbers fill `bits` words; number i begins at bit i * bits and may end in the next word.
    """
    blocks = words.reshape(-1, bits, words.shape[1]).long() & 0xFFFFFFFF
    out = torch.empty(len(blocks), WORD, words.shape[1], dtype=torch.int32, device=words.device)
    for i in range(WORD):
        word, offset = divmod(i * bits, WORD)
        number = blocks[:, word] >> offset
        if offset + bits > WORD:
            number |= blocks[:, word + 1] << (WORD - offset)
        out[:, i] = number & (2**bits - 1)
    return out.reshape(-1, words.shape[1])


def check_packed(tensors: Tensors, meant: torch.Tensor, bits: int, where: str = "") -> None:
    """QlabError, beginning with `where`, unless the packed tensors hold the weights `meant`
    [out, in], but for rounding.

    The scale in float16 may be off by 2^-11 of it, or by half of the smallest float16 number, for
    each of up to 2^(bits-1) steps from zero; scales that it loses may not change the layer by 1 %.
    """
    relative = HALF.eps / 2 + torch.finfo(meant.dtype).eps
    stored, meant = unpack(tensors, bits), meant.detach().float().cpu()
    smallest = HALF.smallest_normal * HALF.eps / 2 * 2 ** (bits - 1)
    off = (stored - meant).abs() > meant.abs() * relative + smallest
    lost = (stored - meant).norm() > 0.01 * meant.norm()
    if not torch.isfinite(stored).all() or off.any() or lost:
        scales = tensors["scales"]
        raise QlabError(
            f"{where}{int(off.sum()) or 'all'} of {off.numel()} weights, packed to {bits} bits, "
            f"read back otherwise than they were quantized (float16 scales {scales.min():.3g} to "
            f"{scales.max():.3g}); rescale the weights."
        )
