"""GPTQ and round-to-nearest as methods that quantize one linear layer, with auto-gptq's code.

GPTQ (Frantar et al., arXiv 2210.17323) rounds a weight matrix W column by column and changes the
columns still to come so that tr(D H D^T), with D the change of W and H = 2/n sum x x^T over its
inputs, stays small. Round-to-nearest is the same grid without it.
"""

from typing import TYPE_CHECKING

import torch

from qlab.core.errors import QlabError
from qlab.language import auto_gptq_compat, gptq_format, llama
from qlab.language.quantized import Method, Quantized

if TYPE_CHECKING:
    from transformers import LlamaConfig

DAMPING = 0.01  # of the mean diagonal of H, added to it: the paper's and auto-gptq's default
DAMPING_LIMIT = 10.0  # tenfold steps from DAMPING end here
GROUP_SIZES = (64, 128)  # columns that share a scale


class RoundToNearest(Method):
    """Each weight to the nearest point of a symmetric grid, one scale for each group of columns."""

    kind = "rtn"

    def __init__(self, bits: int, group_size: int):
        self.bits, self.group_size = bits, group_size

    def config(self) -> dict:
        """The `quantization_config` of config.json, as auto-gptq writes it."""
        return {
            "bits": self.bits,
            "group_size": self.group_size,
            "damp_percent": DAMPING,
            "desc_act": False,
            "static_groups": False,
            "sym": True,
            "true_sequential": True,
            "model_name_or_path": None,
            "model_file_base_name": "model",
            "is_marlin_format": False,
            "quant_method": "gptq",
        }

    def check(self, config: "LlamaConfig") -> None:
        """QlabError, before any work, where a layer of this model cannot be packed."""
        gptq_format.check_widths(llama.linear_shapes(config), self.bits, self.group_size)

    def quantize(self, linear: torch.nn.Linear, observer=None) -> Quantized:
        """The layer rounded and packed; QlabError where that cannot be read back."""
        grid = self._grid()
        rounded, scales, zeros = [], [], []
        for group in linear.weight.detach().float().split(self.group_size, dim=1):
            grid.find_params(group, weight=True)
            rounded.append(grid.quantize(group))
            scales.append(grid.scale)
            zeros.append(grid.zero)
        dense, scale, zero = (torch.cat(parts, 1) for parts in (rounded, scales, zeros))
        return self._packed(dense, scale, zero)

    def dense(self, tensors: dict[str, torch.Tensor], shape=None) -> torch.Tensor:
        """The weight [out, in], float32, of what was stored."""
        return gptq_format.unpack(tensors, self.bits)

    def _grid(self):
        grid = auto_gptq_compat.quantizer()()
        grid.configure(self.bits, perchannel=True, sym=True, mse=False)
        return grid

    def _packed(self, dense, scales, zeros, damping: float = 0.0) -> Quantized:
        tensors = gptq_format.pack(dense, scales, zeros, self.bits, self.group_size)
        try:
            gptq_format.check_packed(tensors, dense, self.bits)
        except ValueError as error:
            raise QlabError(
                f"After packing to {self.bits} bits, {error}; rescale the weights."
            ) from error
        return Quantized(tensors, dense, damping)


class Gptq(RoundToNearest):
    """auto-gptq's `GPTQ`: sym, no reordering of columns, damped by 1 % of the mean diagonal."""

    kind = "gptq"
    needs_inputs = True

    def observe(self, linear: torch.nn.Linear):
        """A GPTQ object; give it each passage with `add_batch(inputs [1, tokens, in], outputs)`."""
        # A float32 stand-in, which GPTQ leaves rounded: bfloat16 could not hold 8 bits' steps.
        stand_in = torch.nn.Linear(linear.in_features, linear.out_features, False, device="meta")
        weight = linear.weight.detach().float()
        stand_in.weight = torch.nn.Parameter(weight, requires_grad=False)
        observer = auto_gptq_compat.gptq()(stand_in)
        observer.quantizer = self._grid()
        return observer

    def quantize(self, linear: torch.nn.Linear, observer=None) -> Quantized:
        """The layer quantized and packed, with the damping that its Hessian needed.

        QlabError: no inputs seen, inputs that are not finite, a Hessian that no damping up to
        DAMPING_LIMIT makes positive definite.
        """
        if observer is None or observer.nsamples == 0:
            raise QlabError("GPTQ needs inputs to calibrate on; give it some passages.")
        hessian = observer.H
        if not torch.isfinite(hessian).all():
            raise QlabError(
                "The inputs of a layer overflowed, so it cannot be calibrated; use float32, or "
                "bfloat16 where float16 was used."
            )
        damping = DAMPING
        settings = {"group_size": self.group_size}
        while True:
            observer.H = hessian.clone()  # it is damped and taken apart in place
            try:
                with auto_gptq_compat.quantizing():
                    scales, zeros, _ = observer.fasterquant(percdamp=damping, **settings)
                break
            except torch.linalg.LinAlgError as error:
                damping *= 10
                if damping > DAMPING_LIMIT:
                    raise QlabError(
                        f"The Hessian of a layer is not positive definite, even damped by "
                        f"{DAMPING_LIMIT:g} times its mean diagonal; give more, other passages."
                    ) from error
        observer.free()
        return self._packed(observer.layer.weight.detach(), scales, zeros, damping)


# By the variant's name.
METHODS = {
    method.name: method
    for kind in (Gptq, RoundToNearest)
    for bits in sorted(gptq_format.BITS, reverse=True)
    for group_size in GROUP_SIZES
    for method in [kind(bits, group_size)]
}
