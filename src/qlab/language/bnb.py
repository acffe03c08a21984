"""What bitsandbytes stores: int8 (LLM.int8()), nf4 and fp4, in the files that transformers writes.

- 4 bits (Dettmers et al., arXiv 2305.14314): each 64 neighbouring weights of a row share the
  largest magnitude among them (`absmax`), and each is rounded to one of 16 values. On a CPU with
  AVX512-BF16 the kernel multiplies in bfloat16: logits some 0.3 % from those in float32.
- 8 bits (Dettmers et al., arXiv 2208.07339): each row is rounded to -127..127 steps of its largest
  magnitude / 127. At run time the inputs are rounded too, so it is evaluated as it runs.
"""

import logging
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from qlab.core.errors import QlabError
from qlab.language.quantized import Method, Shapes, Tensors

BLOCK = 64  # weights per absmax


def check_four_bits(shapes: Shapes) -> None:
    """QlabError where a width does not divide as bitsandbytes' CPU kernel asserts, late."""
    for layer, (outputs, inputs) in shapes.items():
        if inputs % BLOCK or outputs % 32:  # output rows that it takes at a time
            raise QlabError(
                "bitsandbytes' 4 bits need input widths divisible by 64 and output widths by 32; "
                f"{layer} has {inputs} inputs and {outputs} outputs. Take 8 bits, or pad them."
            )


class Stored(Method):
    """A folder of bitsandbytes, by its `quantization_config`."""

    kind = "bnb"

    def __init__(self, settings: dict[str, Any]):
        self.bits = 4 if settings.get("load_in_4bit") else 8
        self.weight_only = self.bits == 4

    def dense(self, tensors: Tensors, shape: tuple[int, int]) -> torch.Tensor:
        """The weight [out, in], float32, that is stored."""
        if self.bits == 8:
            return tensors["weight"].float() * (tensors["SCB"][:, None] / 127)
        # from_dict empties what it is given and leaves the prefix to its caller's names.
        parts = {n.removeprefix("weight."): p for n, p in tensors.items() if n != "weight"}
        functional = quiet().functional
        state = functional.QuantState.from_dict(parts, device=tensors["weight"].device)
        return functional.dequantize_4bit(tensors["weight"], state).float()

    def load_packed(self, folder: Path, device: str):
        """The folder's model in bitsandbytes' own modules and kernels; everything else in float32
        on a CPU and float16 elsewhere."""
        kind = torch.float32 if device == "cpu" else torch.float16
        quiet()
        disable_progress_bar()  # of shards that load in no time
        model = AutoModelForCausalLM.from_pretrained(
            folder, device_map={"": device}, torch_dtype=kind, local_files_only=True
        )
        for module in model.modules():
            if hasattr(module, "compute_dtype"):  # 4 bit: float32 as stored would be slow on a GPU
                module.compute_dtype = kind
        return model.eval()


def quiet():
    """bitsandbytes, without its note that an optional kernel is absent, and the line that
    LLM.int8() logs at each call: inputs cast to float16."""
    for name in ("backends.cpu.ops", "autograd._functions"):
        logging.getLogger(f"bitsandbytes.{name}").setLevel(logging.ERROR)
    import bitsandbytes.functional

    return bitsandbytes
