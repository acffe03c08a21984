"""GPTQ and round-to-nearest as methods that quantize one linear layer, with auto-gptq's code.

GPTQ (Frantar et al., arXiv 2210.17323) rounds a weight matrix W column by column and changes the
columns still to come so that tr(D H D^T), with D the change of W and H = 2/n sum x x^T over its
inputs, stays small. Round-to-nearest uses the same grid without these changes.

In GPTQ's checkpoint format a weight [out, in] is cut along `in` into groups; row o of group g has a
scale s and a zero-point z, and its element is s * (q - z) with q of 2, 3, 4 or 8 bits. Stored are

- `qweight` int32 [in * bits / 32, out]: q, one after another along `in`, lowest bits first,
- `qzeros` int32 [groups, out * bits / 32]: z - 1 likewise along `out` (an old quirk of the format),
- `scales` float16 [groups, out], and `g_idx` int32 [in], the group of each column.

Packing is auto-gptq's own; unpacking, written here, checks that the packed weights are as meant.
The library, 0.7.1, is unmaintained: names that newer libraries have moved (looked up one by one,
whatever the version) are lent to it during its import. Tested with transformers 4.53.3 and peft
0.13.2, 5.9.0 and 0.19.1 (Kaggle's image), 5.23.0 and 0.21.2.
"""

import contextlib
import functools
import importlib
import logging
import warnings
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import torch

from qlab.core.errors import QlabError
from qlab.language import checkpoint, decoder
from qlab.language.quantized import Method, Quantized, Shapes, Tensors

DAMPING = 0.01  # of the mean diagonal of H, added to it: the paper's and auto-gptq's default
SUFFIXES = ("qweight", "qzeros", "scales", "g_idx")  # ends of the names of a layer's tensors
WORD = 32  # bits of an int32, into which weights are packed
HALF = torch.finfo(torch.float16)  # limits of the scales' type
_MODELS, _PEFT = "transformers.modeling_utils", "peft.peft_model"
_HUB = {"huggingface_hub": ("create_commit", "create_repo", "CommitOperationAdd")}
_HUB["transformers.utils"] = ("PushToHubMixin", "cached_file")
# What auto-gptq imports: (module, name) -> where it is now, since transformers 5.23, 5, peft 0.19.
# The last one changed only for auto-gptq's own LoRA adapters, which are not made here.
LOANS = {("transformers.utils.hub", n): (home, n) for home, names in _HUB.items() for n in names}
LOANS[_MODELS, "no_init_weights"] = ("transformers.initialization", "no_init_weights")
LOANS[_PEFT, "PEFT_TYPE_TO_MODEL_MAPPING"] = (_PEFT, "PEFT_TYPE_TO_TUNER_MAPPING")


@functools.cache
def library() -> ModuleType:
    """Import auto_gptq, with all of it that is used here, and return it."""
    # A child of this logger says three times at import that there are no CUDA kernels.
    logging.getLogger("auto_gptq").setLevel(logging.ERROR)
    with contextlib.ExitStack() as loans, warnings.catch_warnings():
        for (borrower, name), (home, there) in LOANS.items():
            owner = importlib.import_module(borrower)
            if not hasattr(owner, name):
                value = getattr(importlib.import_module(home), there)
                loans.enter_context(patch.object(owner, name, value, create=True))
        # Its Triton kernels, unused here, are declared in a way that PyTorch 2.4 deprecated.
        warnings.filterwarnings("ignore", category=FutureWarning, module="auto_gptq")
        import auto_gptq.nn_modules.qlinear.qlinear_cuda_old
    return auto_gptq


def packed_linear(*arguments, **named) -> torch.nn.Module:
    """A `QuantLinear`, which packs weights, and runs in plain PyTorch where it has no kernel."""
    return library().nn_modules.qlinear.qlinear_cuda_old.QuantLinear(*arguments, **named)


def without_cuda() -> contextlib.AbstractContextManager:
    """A context in which auto-gptq can quantize: without CUDA, its `torch.cuda.synchronize`, which
    would raise, does nothing."""
    if torch.cuda.is_available():
        return contextlib.nullcontext()
    return patch.object(torch.cuda, "synchronize", lambda device=None: None)


class RoundToNearest(Method):
    """Rounds weights to the nearest point of a symmetric grid, one scale per group of columns."""

    kind = "rtn"

    def __init__(self, bits: int, group_size: int):
        self.bits, self.group_size = bits, group_size

    def config(self) -> dict:
        """The `quantization_config` of config.json, as auto-gptq writes it."""
        settings = {"bits": self.bits, "group_size": self.group_size, "damp_percent": DAMPING}
        known = library().BaseQuantizeConfig
        return known(**settings, desc_act=False, model_file_base_name="model").to_dict()

    def check(self, shapes: Shapes) -> None:
        """QlabError, before any work, where a layer cannot be packed: auto-gptq would fail late."""
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
        """The weight [out, in], float32, that the stored tensors stand for."""
        return unpack(tensors, self.bits)

    def load_packed(self, folder: Path, device: str):
        """The folder's model with auto-gptq's packed layers in place of its linear ones: its
        kernels on CUDA where they were compiled, PyTorch's operators elsewhere."""
        config = checkpoint.read_config(folder)
        del config.quantization_config
        model = decoder.empty(config)
        weights = decoder.weights(folder, model)
        dtype = "float32" if torch.device(device).type == "cpu" else "float16"
        for name, linear in decoder.linears(model).items():
            if f"{name}.qweight" in weights.files:
                outputs, inputs = decoder.matrix(linear).shape
                size = inputs if self.group_size == -1 else self.group_size
                bias = linear.bias is not None
                packed = packed_linear(self.bits, size, inputs, outputs, bias=bias)
                packed, order = packed.to(getattr(torch, dtype)), packed.g_idx.clone()
                parts = {end: weights.read(f"{name}.{end}") for end in packed.state_dict()}
                packed.load_state_dict(parts)
                if not torch.equal(packed.g_idx, order):
                    why = "has its columns in another order (desc_act), which this kernel does not"
                    raise QlabError(f"{name} {why} multiply; load it dense.")
                model.set_submodule(name, packed)
        return decoder.filled(model, weights.read, dtype, device)

    def _grid(self):
        grid = library().quantization.quantizer.Quantizer()
        grid.configure(self.bits, perchannel=True, sym=True, mse=False)
        return grid

    def _packed(self, dense, scales, zeros) -> Quantized:
        tensors = pack(dense, scales, zeros, self.bits, self.group_size)
        check_packed(tensors, dense, self.bits)
        return Quantized(tensors, dense)


class Gptq(RoundToNearest):
    """auto-gptq's `GPTQ`: symmetric, columns not reordered, damped by 1 % of the mean diagonal."""

    kind = "gptq"
    needs_inputs = True

    def observe(self, weight: torch.Tensor):
        """A GPTQ object; give it each passage with `add_batch(inputs [1, tokens, in], outputs)`."""
        # A float32 stand-in, which GPTQ leaves rounded: bfloat16 cannot hold the steps of 8 bits.
        stand_in = torch.nn.Linear(weight.shape[1], weight.shape[0], False, device="meta")
        stand_in.weight = torch.nn.Parameter(weight.contiguous(), requires_grad=False)
        observer = library().quantization.GPTQ(stand_in)
        observer.quantizer = self._grid()
        return observer

    def quantize(self, weight: torch.Tensor, observer=None) -> Quantized:
        """The observed layer quantized and packed; QlabError for too few or infinite inputs."""
        if observer is None or observer.nsamples == 0:
            raise QlabError("GPTQ needs inputs to calibrate on; give it some passages.")
        if not torch.isfinite(observer.H).all():
            why = "The inputs of a layer overflowed, so it cannot be calibrated"
            raise QlabError(f"{why}; use float32, or bfloat16 where float16 was used.")
        try:
            with without_cuda():
                made = observer.fasterquant(percdamp=DAMPING, group_size=self.group_size)
        except torch.linalg.LinAlgError as error:
            why = "A layer's inputs give no positive definite Hessian"
            raise QlabError(f"{why}: they are too few; give more passages.") from error
        observer.free()
        return self._packed(observer.layer.weight.detach(), *made[:2])


def pack(weight, scales, zeros, bits: int, group_size: int) -> Tensors:
    """The four tensors of weights [out, in] on a grid with `scales` and `zeros` [out, groups].
    QlabError: a zero-point outside 1 .. 2^bits. Asymmetric grids have 0 there, which the format
    stores as -1, whose sign bits auto-gptq's `pack` writes over the zero-points of other rows."""
    if zeros.min() < 1 or zeros.max() > 2**bits:
        told = f"GPTQ's format stores zero-points of 1 to {2**bits} in {bits} bits; these are"
        told = f"{told} {zeros.min():g} to {zeros.max():g}"
        raise QlabError(f"{told}. Quantize symmetrically (sym=True).")
    rows, columns = weight.shape
    packed = packed_linear(bits, group_size, columns, rows, bias=False)
    # `pack` recomputes the integers, as weight / scale + zero, so it is given the scales as they
    # will be stored, and weights within their range: too large a number spills into others.
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
    """Unpack words, int32 [n * bits, columns], into int32 [32 n, columns] in 0 .. 2^bits - 1. 32
    numbers fill `bits` words; number i begins at bit i * bits and may end in the next word."""
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
    """QlabError, beginning with `where`, unless the packed tensors hold the weights `meant` [out,
    in] up to rounding. A scale in float16 may be off by 2^-11 of itself, or by half the smallest
    float16 number, for each of up to 2^(bits-1) steps from zero; scales lost in float16 may not
    change the layer by 1 %."""
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
