"""What methods have in common that round weights alone, in a form of qlab's own."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from qlab.core.errors import QlabError
from qlab.language.gptq import widths
from qlab.language.quantized import Quantized

if TYPE_CHECKING:
    import torch
    from transformers import LlamaConfig


class WeightOnly(ABC):
    """A `quantized.Method` that needs no inputs; a subclass gives its name, `pack` and `dense`.

    What it packs is judged by its dense weights: no kernel multiplies it as it is.
    """

    name: str  # of the variant: method, bits, group size, such as ternary_w2_g64
    group = 1  # neighbouring weights of a row that are packed together
    needs_inputs = False
    weight_only = True

    @abstractmethod
    def pack(self, weight: "torch.Tensor") -> dict[str, "torch.Tensor"]:
        """What is stored of a weight [out, in] float32, by name; `scales` are counted as such."""

    @abstractmethod
    def dense(self, tensors: dict[str, "torch.Tensor"], shape: tuple[int, int]) -> "torch.Tensor":
        """The weight [out, in], float32, that stored tensors stand for."""

    def config(self) -> dict[str, Any]:
        """The `quantization_config` of config.json."""
        return {"quant_method": "qlab", "variant": self.name}

    def check(self, config: "LlamaConfig") -> None:
        """QlabError, before any work, where the groups do not divide a layer's inputs."""
        for layer, (inputs, _) in widths(config).items():
            if inputs % self.group:
                raise QlabError(
                    f"{self.name} packs {self.group} weights together, which does not divide the "
                    f"{inputs} inputs of this model's {layer}; take another group size."
                )

    def observe(self, linear: "torch.nn.Linear") -> None:
        """Nothing is learned from inputs."""
        return None

    def quantize(self, linear: "torch.nn.Linear", observer: None = None) -> Quantized:
        """What is stored of a layer, and its dense weight [out, in] float32 after it."""
        tensors = self.pack(linear.weight.detach().float())
        return Quantized(tensors, self.dense(tensors, linear.weight.shape), damping=0.0)
