"""What a quantization method is, and what it makes of one linear layer."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from qlab.core.errors import QlabError
from qlab.language import llama

if TYPE_CHECKING:
    import torch
    from transformers import LlamaConfig

Tensors = dict[str, "torch.Tensor"]  # end of a stored tensor's name -> tensor


class Quantized(NamedTuple):
    """What is stored for one linear layer, and what its weight then is."""

    tensors: Tensors  # as a file holds them
    dense: "torch.Tensor"  # float32 [out, in]
    damping: float = 0.0  # of GPTQ's Hessian; 0 where there is none


class Method(ABC):
    """Turns linear layers into what is stored, one at a time.

    One of your own gives `kind`, `bits`, `group_size`, `pack` and `dense`: it needs no inputs, and
    is judged by its dense weights, for no kernel multiplies it as it is.
    """

    kind: str  # the column `method` of its records
    bits: int  # of a weight
    group_size: int | None = None  # neighbouring weights of a row that share a scale
    needs_inputs = False  # whether it must have seen the layer's inputs
    weight_only = True  # whether the dense weights behave as the packed ones

    @property
    def name(self) -> str:
        """Of the variant: method, bits, group size, such as ternary_w2_g64."""
        return f"{self.kind}_w{self.bits}_g{self.group_size}"

    def config(self) -> dict[str, Any]:
        """The `quantization_config` of config.json."""
        return {"quant_method": "qlab", "variant": self.name}

    def check(self, config: "LlamaConfig") -> None:
        """QlabError, before any work, where the groups do not divide a layer's inputs."""
        for layer, (_, inputs) in llama.linear_shapes(config).items():
            if inputs % (self.group_size or 1):
                raise QlabError(
                    f"{self.name} packs {self.group_size} weights together, which does not divide "
                    f"the {inputs} inputs of this model's {layer}; take another group size."
                )

    def observe(self, linear: "torch.nn.Linear") -> Any:
        """What learns from `add_batch(inputs [1, tokens, in], outputs)`; None: nothing does."""
        return None

    def pack(self, weight: "torch.Tensor") -> Tensors:
        """What is stored of a weight [out, in] float32; `scales` are counted as such."""
        raise NotImplementedError

    @abstractmethod
    def dense(self, tensors: Tensors, shape: tuple[int, int]) -> "torch.Tensor":
        """The weight [out, in], float32, that stored tensors stand for."""

    def quantize(self, linear: "torch.nn.Linear", observer: Any = None) -> Quantized:
        """What is stored of a layer, and its dense weight after it; the layer stays as it is."""
        tensors = self.pack(linear.weight.detach().float())
        return Quantized(tensors, self.dense(tensors, linear.weight.shape))
