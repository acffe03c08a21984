"""What a quantization method is, and what it makes of one linear layer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from qlab.core.errors import QlabError

Tensors = dict[str, torch.Tensor]  # name of a stored tensor, or its suffix within a layer -> tensor
Shapes = Mapping[str, tuple[int, int]]  # linear layer -> (outputs, inputs)


class Quantized(NamedTuple):
    """What is stored for one linear layer, and the weight it stands for, float32 [out, in]."""

    tensors: Tensors  # by the ends of their names in the file
    dense: torch.Tensor  # the weight that they stand for


class Method:
    """Turns a linear layer's weight into what is stored, one layer at a time. A method of your own
    gives `kind`, `bits`, `group_size`, `pack` and `dense`: it then needs no inputs, and is judged
    by its dense weights, because no kernel multiplies what it stores."""

    kind: str  # the column `method` of its records
    bits: int  # of a weight
    group_size: int | None = None  # neighbouring weights of a row that share a scale
    needs_inputs = False  # whether it must have seen the layer's inputs
    weight_only = True  # whether the dense weights behave as the packed ones

    def settings(self) -> dict[str, Any]:
        """All that decides what the method makes; files are named by it."""
        return {"kind": self.kind, "bits": self.bits, "group_size": self.group_size}

    def config(self) -> dict[str, Any]:
        """The `quantization_config` of config.json, by which a folder's method is found again."""
        return {"quant_method": self.kind, **self.settings()}

    def check(self, shapes: Shapes) -> None:
        """QlabError, before any work, where the groups do not divide a layer's inputs."""
        for layer, (_, inputs) in shapes.items():
            if inputs % (self.group_size or 1):
                undivided = f"which groups of {self.group_size} do not divide"
                raise QlabError(f"{layer} has {inputs} inputs, {undivided}; choose other groups.")

    def observe(self, weight: torch.Tensor) -> Any:
        """An observer for a layer with weight [out, in], float32, which learns of its inputs
        through `add_batch(inputs [1, tokens, in], outputs)`; None where the method needs none."""

    def pack(self, weight: torch.Tensor) -> Tensors:
        """The tensors to store for a weight [out, in], float32; `scales` are counted as such."""
        raise NotImplementedError

    def dense(self, tensors: Tensors, shape: tuple[int, int]) -> torch.Tensor:
        """The weight [out, in], float32, that stored tensors stand for."""
        raise NotImplementedError

    def quantize(self, weight: torch.Tensor, observer: Any = None) -> Quantized:
        """Quantize a weight [out, in], float32."""
        tensors = self.pack(weight)
        return Quantized(tensors, self.dense(tensors, tuple(weight.shape)))

    def load_packed(self, folder: Path, device: str):
        """The folder's model on kernels that multiply what is stored; QlabError if it has none."""
        raise QlabError(f"No kernel here multiplies what {folder} stores; load it dense.")


@dataclass(frozen=True)
class Library:
    """A variant that a library makes of the whole model: `make(task, target, **settings)` fills
    folder `target`. Its source and settings are in its name in build/: edited, it runs again."""

    kind: str | None  # the column `method` of its records; None: float
    bits: int  # of a weight
    group_size: int | None = None  # weights that share a scale, where known
    make: Callable[..., None] | None = None  # None: the folder is there already
    settings: Mapping[str, Any] = field(default_factory=dict)  # arguments of `make`
    check: Callable[[Shapes], None] = lambda shapes: None  # QlabError for widths it cannot take
    weight_only: bool = True  # whether inputs stay as they are
