"""The quantizers of bitsandbytes, int8 (LLM.int8()), nf4 and fp4, in the files transformers loads.

- `bnb_nf4`, `bnb_fp4` (Dettmers et al., arXiv 2305.14314): each 64 neighbouring weights of a row
  share the largest magnitude among them (`absmax`, float32), and each is rounded to one of 16
  values. They change weights only.
- `bnb_int8` (Dettmers et al., arXiv 2208.07339): each row is rounded to -127..127 steps of its
  largest magnitude / 127. At run time the inputs are rounded too, so its weights alone do not tell
  what it does to accuracy: its `weight_only` is False, and it is evaluated with `load_packed`.

On a CPU with AVX512-BF16 the 4-bit kernel multiplies in bfloat16: packed logits are then
some 0.3 % from those of the same weights in float32.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qlab.core.errors import QlabError
from qlab.language import llama
from qlab.language.quantized import Method, Quantized, Tensors

if TYPE_CHECKING:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

BLOCK = 64  # weights per absmax
OUT_MULTIPLE = 32  # output rows that the CPU kernel takes at a time
_OUTLIER = 6.0  # LLM.int8() multiplies input columns beyond this in float16


class FourBit(Method):
    """nf4 or fp4. A layer [out, in] becomes weight [out * in / 2, 1] uint8, absmax, map, state."""

    kind, bits, name = "bnb", 4, ""

    def __init__(self, grid: str):
        self.grid, self.name = grid, f"bnb_{grid}"

    def config(self) -> dict[str, Any]:
        """The `quantization_config` of config.json."""
        return {
            "quant_method": "bitsandbytes",
            "load_in_4bit": True,
            "load_in_8bit": False,
            "bnb_4bit_quant_type": self.grid,
            "bnb_4bit_use_double_quant": False,
            "bnb_4bit_compute_dtype": "float32",
            "bnb_4bit_quant_storage": "uint8",
        }

    def check(self, config: "LlamaConfig") -> None:
        """QlabError where a width does not divide as bitsandbytes' CPU kernel asserts, late."""
        for layer, (outputs, inputs) in llama.linear_shapes(config).items():
            if inputs % BLOCK or outputs % OUT_MULTIPLE:
                raise QlabError(
                    f"{self.name} needs input widths divisible by {BLOCK} and output widths by "
                    f"{OUT_MULTIPLE}; this model's {layer} has {inputs} inputs and {outputs} "
                    "outputs. Take bnb_int8, or pad the model's widths."
                )

    def quantize(self, linear: "torch.nn.Linear", observer: None = None) -> Quantized:
        """As every method, but from a weight of the layer's own type, which the files name."""
        weight = linear.weight.detach()
        tensors = self.pack(weight)
        return Quantized(tensors, self.dense(tensors, weight.shape))

    def pack(self, weight: "torch.Tensor") -> Tensors:
        """Two numbers a byte, and what bitsandbytes needs to read them."""
        packed, state = _functional().quantize_4bit(weight, blocksize=BLOCK, quant_type=self.grid)
        parts = state.as_dict(packed=True)
        return {"weight": packed} | {f"weight.{name}": part for name, part in parts.items()}

    def dense(self, tensors: Tensors, shape: tuple[int, int]) -> "torch.Tensor":
        """The weight [out, in], float32, that is stored; QlabError where that has another shape."""
        functional, device = _functional(), tensors["weight"].device
        # from_dict empties what it is given and leaves the prefix to its caller's names.
        parts = {n.removeprefix("weight."): part for n, part in tensors.items() if n != "weight"}
        state = functional.QuantState.from_dict(parts, device=device)
        return _shaped(functional.dequantize_4bit(tensors["weight"], state), shape, self.name)


class EightBit(Method):
    """LLM.int8(). A layer [out, in] becomes weight int8, SCB [out] float32 (row maxima), format."""

    kind, bits, name = "bnb", 8, "bnb_int8"
    weight_only = False

    def config(self) -> dict[str, Any]:
        """The `quantization_config` of config.json."""
        return {
            "quant_method": "bitsandbytes",
            "load_in_4bit": False,
            "load_in_8bit": True,
            "llm_int8_threshold": _OUTLIER,
            "llm_int8_has_fp16_weight": False,
        }

    def check(self, config: "LlamaConfig") -> None:
        """Any width will do."""

    def pack(self, weight: "torch.Tensor") -> Tensors:
        """From float16, as bitsandbytes' own module does, so that it stores the same numbers."""
        import torch

        packed, scale, _ = _functional().int8_vectorwise_quant(weight.to(torch.float16))
        layout = torch.zeros((), dtype=torch.uint8)  # 0 is "row", the only layout that is left
        return {"weight": packed, "SCB": scale, "weight_format": layout}

    def dense(self, tensors: Tensors, shape: tuple[int, int]) -> "torch.Tensor":
        """The weight [out, in], float32, that is stored; QlabError where that has another shape."""
        dense = tensors["weight"].float() * (tensors["SCB"][:, None] / 127)
        return _shaped(dense, shape, self.name)


# By the variant's name.
METHODS = {method.name: method for method in (EightBit(), FourBit("nf4"), FourBit("fp4"))}


def load_packed(folder: Path, device: str = "cpu", dtype: str | None = None) -> "LlamaForCausalLM":
    """The model of a folder of bitsandbytes in its own modules and kernels.

    `dtype` is that of everything else: float32 on a CPU and float16 elsewhere unless given.
    """
    from transformers import LlamaForCausalLM
    from transformers.utils.logging import disable_progress_bar

    kind = llama.torch_dtype(dtype or ("float32" if device == "cpu" else "float16"))
    # Drop the one line that LLM.int8() logs at each layer of each call: inputs cast to float16.
    logging.getLogger("bitsandbytes.autograd._functions").addFilter(_is_no_cast)
    _functional()
    disable_progress_bar()  # of shards that load in no time
    model = LlamaForCausalLM.from_pretrained(
        folder, device_map={"": device}, torch_dtype=kind, local_files_only=True
    )
    for module in model.modules():
        if hasattr(module, "compute_dtype"):  # 4 bit: float32 as stored would be slow on a GPU
            module.compute_dtype = kind
    return model.eval()


def _shaped(dense: "torch.Tensor", shape: tuple[int, int], name: str) -> "torch.Tensor":
    """The weight as float32, if it has the shape that the model asks for."""
    if tuple(dense.shape) != tuple(shape):
        raise QlabError(
            f"A layer stored as {name} has shape {list(dense.shape)}, but config.json asks for "
            f"{list(shape)}; quantize the model again."
        )
    return dense.float()


def _functional():
    """bitsandbytes' functions, without its note that an optional, downloaded kernel is absent."""
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    from bitsandbytes import functional

    return functional


def _is_no_cast(record: logging.LogRecord) -> bool:
    return "inputs will be cast" not in str(record.msg)
