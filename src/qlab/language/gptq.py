"""GPTQ and round-to-nearest as methods that quantize one linear layer, with auto-gptq's code.

GPTQ (Frantar et al., arXiv 2210.17323) rounds a weight matrix W column by column and changes the
columns still to come so that tr(D H D^T), with D the change of W and H = 2/n sum x x^T over its
inputs, stays small. Round-to-nearest is the same grid without it.
"""

from pathlib import Path

import torch

from qlab.core.errors import QlabError
from qlab.language import auto_gptq_compat, configuration, decoder, gptq_format
from qlab.language.quantized import Method, Quantized, Shapes, Tensors

DAMPING = 0.01  # of the mean diagonal of H, added to it: the paper's and auto-gptq's default


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
            if outputs % gptq_format.WORD or inputs % gptq_format.WORD:
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
        return gptq_format.unpack(tensors, self.bits)

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
        tensors = gptq_format.pack(dense, scales, zeros, self.bits, self.group_size)
        gptq_format.check_packed(tensors, dense, self.bits)
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
