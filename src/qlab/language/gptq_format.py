"""The GPTQ checkpoint format: how a linear layer's weights lie in `qweight`, `qzeros`, `scales`.

A weight [out, in] is cut along `in` into groups; row o of group g has a scale s and a zero-point
z, and its element is s * (q - z) with q of 2, 3, 4 or 8 bits. Stored are

- `qweight` int32 [in * bits / 32, out]: q, one after another along `in`, lowest bits first,
- `qzeros` int32 [groups, out * bits / 32]: z - 1 likewise along `out` (the format's old quirk),
- `scales` float16 [groups, out], and `g_idx` int32 [in], the group of each column.

Packing is auto-gptq's own `QuantLinear.pack`. Unpacking is written here, once for all widths, and
so tells whether what was packed is what was meant.
"""

import torch

from qlab.core.errors import QlabError
from qlab.language import auto_gptq_compat
from qlab.language.quantized import Shapes, Tensors

BITS = (2, 3, 4, 8)  # that the format packs
SUFFIXES = ("qweight", "qzeros", "scales", "g_idx")  # ends of the names of a layer's tensors
WORD = 32  # bits of an int32, into which weights are packed
HALF = torch.finfo(torch.float16)  # limits of the scales' type


def pack(
    weight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor, bits: int, group_size: int
) -> Tensors:
    """The four tensors of weights [out, in] that lie on a grid: scales, zeros [out, groups].

    QlabError: a zero-point outside 1 .. 2^bits. Asymmetric grids have 0 there, which the format
    stores as -1, whose sign bits auto-gptq's `pack` writes over the zero-points of other rows.
    """
    if zeros.min() < 1 or zeros.max() > 2**bits:
        raise QlabError(
            f"GPTQ's format stores zero-points of 1 to {2**bits} in {bits} bits; these are "
            f"{zeros.min():g} to {zeros.max():g}. Quantize symmetrically (sym=True)."
        )
    columns, rows = weight.shape[1], weight.shape[0]
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
    levels = integers(tensors["qweight"], bits)
    zeros = zero_points(tensors["qzeros"], bits)
    groups = tensors["g_idx"].long()
    steps = (levels - zeros[groups]).float()
    return (steps * tensors["scales"].float()[groups]).t().contiguous()


def zero_points(qzeros: torch.Tensor, bits: int) -> torch.Tensor:
    """int32 [groups, out], 1 more than stored; at 2, 4 and 8 bits 2^bits reads as 0, as there."""
    stored = integers(qzeros.t(), bits).t() + 1
    return stored if bits == 3 else stored & (2**bits - 1)


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


def check_packed(tensors: Tensors, meant: torch.Tensor, bits: int) -> None:
    """QlabError unless the packed tensors hold the weights `meant` [out, in], but for rounding.

    What may differ, beside what their own dtype rounds, is the scale in float16: by 2^-11 of it, or
    by half of the smallest float16 number, for each of the up to 2^(bits-1) steps from zero. Scales
    so small that float16 loses them are harmless in a few dead rows, but may not change the layer
    by more than 1 %.
    """
    relative = HALF.eps / 2 + torch.finfo(meant.dtype).eps
    stored, meant = unpack(tensors, bits), meant.detach().float().cpu()
    smallest = HALF.smallest_normal * HALF.eps / 2 * 2 ** (bits - 1)
    off = (stored - meant).abs() > meant.abs() * relative + smallest
    lost = (stored - meant).norm() > 0.01 * meant.norm()
    if not torch.isfinite(stored).all() or off.any() or lost:
        scales = tensors["scales"]
        raise QlabError(
            f"{int(off.sum()) or 'all'} of {off.numel()} weights, packed to {bits} bits, read back "
            f"otherwise than they were quantized (float16 scales {scales.min():.3g} to "
            f"{scales.max():.3g}); rescale the weights."
        )


def check_widths(shapes: Shapes, bits: int) -> None:
    """QlabError unless layers of these widths can be packed to so many bits.

    Plain auto-gptq would fail late, with a shape error in the forward pass.
    """
    if bits not in BITS:
        raise QlabError(f"GPTQ's format has 2, 3, 4 and 8 bits, not {bits}.")
    for layer, widths in shapes.items():
        if any(width % WORD for width in widths):
            raise QlabError(
                f"{layer} has {widths[0]} outputs and {widths[1]} inputs; GPTQ's format packs "
                f"multiples of {WORD}. Pad the model's widths or take one whose widths divide."
            )
