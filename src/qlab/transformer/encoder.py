"""The linear layers of a transformer's encoder, found in the model, whatever its family."""

from typing import NamedTuple

from torch import nn

from qlab.core.errors import QlabError


class Linear(NamedTuple):
    """One linear layer of the encoder."""

    layer: str  # its name in the model
    block: int  # the encoder layer that it is in, from 1 at the input
    part: str  # "attention", or of the feed-forward network "up" or "down"
    inputs: int
    outputs: int

    @property
    def weights(self) -> int:
        """How many weights it has, without the bias."""
        return self.inputs * self.outputs


def linears(model: nn.Module) -> list[Linear]:
    """Linear layers of the longest stack of blocks, from the input on.

    QlabError: a model without such layers.
    """
    stacks = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.ModuleList)]
    prefix, stack = max(stacks, key=lambda pair: len(pair[1]), default=("", []))
    found = [
        Linear(f"{prefix}.{place}.{name}", place + 1, _part(name, m), m.in_features, m.out_features)
        for place, block in enumerate(stack)
        for name, m in block.named_modules()
        if isinstance(m, nn.Linear)
    ]
    if not found:
        raise QlabError(
            f"{type(model).__name__} has no linear layers in a stack of blocks, which are what is "
            "quantized here; give a classifier of sentences such as a BERT."
        )
    return found


def _part(name: str, layer: nn.Linear) -> str:
    if "att" in name:
        return "attention"
    return "up" if layer.out_features > layer.in_features else "down"
