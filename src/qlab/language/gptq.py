"""GPTQ and round-to-nearest as methods that quantize one linear layer, with auto-gptq's code.

GPTQ (Frantar et al., arXiv 2210.17323) rounds a weight matrix W column by column and changes the
columns still to come so that tr(D H D^T), with D the change of W and H = 2/n sum x x^T over its
inputs, stays small. Round-to-nearest is the same grid without it.

In GPTQ's checkpoint format a weight [out, in] is cut along `in` into groups; row o of group g has a
scale s and a zero-point z, and its element is s * (q - z) with q of 2, 3, 4 or 8 bits. Stored are

- `qweight` int32 [in * bits / 32, out]: q, one after another along `in`, lowest bits first,
- `qzeros` int32 [groups, out * bits / 32]: z - 1 likewise along `out` (the format's old quirk),
- `scales` float16 [groups, out], and `g_idx` int32 [in], the group of each column.

Packing is auto-gptq's own; unpacking, written here, tells whether what was packed was meant.
"""

from pathlib import Path

import torch

from qlab.core.errors import QlabError
from qlab.language import auto_gptq_compat, configuration, decoder
from qlab.language.quantized import Method, Quantized, Shapes, Tensors

DAMPING = 0.01  # of the mean diagonal of H, added to it: the paper's and auto-gptq's default
SUFFIXES = ("qweight", "qzeros", "scales", "g_idx")  # ends of the names of a layer's tensors
WORD = 32  # bits of an int32, into which weights are packed
HALF = torch.finfo(torch.float16)  # limits of the scales' type


class RoundToNearest(Method):
    """Each weight to the nearest point of a symmetric grid, one scale for each group of columns."""

    kind = "rtn"

    def __init__(self, bits: int, group_size: int):
        self.bits, self.group_size = bits, group_size

    def config(self) -> dict:
        """The `quantization_config` of config.json, as auto-gptq writes it."""
        settings = {"bits": self.bits, "group_size": self.group_size, "damp_percent": DAMPING}
        known = auto_gptq_compat.load().BaseQuantizeConfig
        return known(**settings, desc_act=False, model_file_base_name="model").to_dict()

    def check(self, shapes: Shapes) -> None:
        """QlabError, before any work, where a layer cannot be packed: auto-gptq fails late."""
        super().check(shapes)
        for layer, (outputs, inputs) in shapes.items():
            if outputs % WORD or inputs % WORD:
                raise QlabError(
                    f"{layer} has {outputs} outputs and {inputs} inputs; GPTQ's format packs "
                    "multiples of 32. Pad the model's widths or take one whose widths divide."
                )

    def quantize(self, weight: torch.Tensor, observer=None) -> Quantized:
        """The weight rounded and packed; QlabError where that cannot be read back."""
        grid, parts = self._grid(), []
        for group in weight.split(self.group_size, dim=1):
            grid.find_params(group, weight=True)
            parts.append((grid.quantize(group), grid.scale, grid.zero))
        return self._packed(*(torch.cat(part, 1) for part in zip(*parts, strict=True)))

    def dense(self, tensors: Tensors, shape=None) -> torch.Tensor:
        """The weight [out, in], float32, of what was stored."""
        return unpack(tensors, self.bits)

    def load_packed(self, folder: Path, device: str):
        """The folder's model with auto-gptq's packed layers in the place of its linear ones: its
        kernels on CUDA where they were compiled, PyTorch's operators elsewhere."""
        config = configuration.read(folder)
        del config.quantization_config
        model = decoder.empty(config)
        weights = decoder.weights(folder, model)
        dtype = "float32" if torch.device(device).type == "cpu" else "float16"
        for name, linear in decoder.linears(model).items():
            if f"{name}.qweight" in weights.files:
                model.set_submodule(name, self._layer(weights, name, linear, dtype))
        return decoder.filled(model, weights.read, dtype, device)

    def _layer(self, weights, name: str, linear, dtype: str) -> torch.nn.Module:
        outputs, inputs = decoder.matrix(linear).shape
        size = inputs if self.group_size == -1 else self.group_size
        bias = linear.bias is not None
        packed = auto_gptq_compat.packed_linear(self.bits, size, inputs, outputs, bias=bias)
        packed, order = packed.to(decoder.torch_dtype(dtype)), packed.g_idx.clone()
        packed.load_state_dict({end: weights.read(f"{name}.{end}") for end in packed.state_dict()})
        if not torch.equal(packed.g_idx, order):
            raise QlabError(
                f"{name} has its columns in another order (desc_act), which this kernel does not "
                "multiply; load it dense."
            )
        return packed

    def _grid(self):
        grid = auto_gptq_compat.load().quantization.quantizer.Quantizer()
        grid.configure(self.bits, perchannel=True, sym=True, mse=False)
        return grid

    def _packed(self, dense, scales, zeros) -> Quantized:
        tensors = pack(dense, scales, zeros, self.bits, self.group_size)
        check_packed(tensors, dense, self.bits)
        return Quantized(tensors, dense)


class Gptq(RoundToNearest):
    """auto-gptq's `GPTQ`: sym, no reordering of columns, damped by 1 % of the mean diagonal."""

    kind = "gptq"
    needs_inputs = True

    def observe(self, weight: torch.Tensor):
        """A GPTQ object; give it each passage with `add_batch(inputs [1, tokens, in], outputs)`."""
        # A float32 stand-in, which GPTQ leaves rounded: bfloat16 could not hold 8 bits' steps.
        stand_in = torch.nn.Linear(weight.shape[1], weight.shape[0], False, device="meta")
        stand_in.weight = torch.nn.Parameter(weight.contiguous(), requires_grad=False)
        observer = auto_gptq_compat.load().quantization.GPTQ(stand_in)
        observer.quantizer = self._grid()
        return observer

    def quantize(self, weight: torch.Tensor, observer=None) -> Quantized:
        """The observed layer quantized and packed; QlabError: too few inputs, or infinite ones."""
        if observer is None or observer.nsamples == 0:
            raise QlabError("GPTQ needs inputs to calibrate on; give it some passages.")
        if not torch.isfinite(observer.H).all():
            raise QlabError(
                "The inputs of a layer overflowed, so it cannot be calibrated; use float32, or "
                "bfloat16 where float16 was used."
            )
        try:
            with auto_gptq_compat.quantizing():
                made = observer.fasterquant(percdamp=DAMPING, group_size=self.group_size)
        except torch.linalg.LinAlgError as error:
            raise QlabError(
                "A layer's inputs give no positive definite Hessian: they are too few; give more "
                "passages."
            ) from error
        observer.free()
        return self._packed(observer.layer.weight.detach(), *made[:2])


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
