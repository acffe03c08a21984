"""What a quantization method is, and what it makes of one linear layer."""

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch
    from transformers import LlamaConfig


class Quantized(NamedTuple):
    """What is stored for one linear layer, and what its weight then is."""

    tensors: dict[str, "torch.Tensor"]  # end of the tensor's name -> tensor
    dense: "torch.Tensor"  # float32 [out, in]
    damping: float  # of GPTQ's Hessian; 0 where there is none


class Method(Protocol):
    """Turns linear layers into what is stored, one at a time."""

    name: str  # of the variant: method, bits, group size
    needs_inputs: bool  # whether it must have seen the layer's inputs
    weight_only: bool  # whether the dense weights behave as the packed ones

    def config(self) -> dict[str, Any]:
        """The `quantization_config` of config.json."""

    def check(self, config: "LlamaConfig") -> None:
        """QlabError, before any work, for a model it cannot take."""

    def observe(self, linear: "torch.nn.Linear") -> Any:
        """What learns from `add_batch(inputs [1, tokens, in], outputs)`, or None."""

    def quantize(self, linear: "torch.nn.Linear", observer: Any = None) -> Quantized:
        """The layer, quantized; the layer itself stays as it is."""

    def dense(self, tensors: dict[str, "torch.Tensor"], shape: tuple[int, int]) -> "torch.Tensor":
        """The weight [out, in], float32, that stored tensors stand for."""
