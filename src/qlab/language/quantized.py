"""What a quantization method is, and what it makes of one linear layer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from qlab.core.errors import QlabError

Tensors = dict[str, torch.Tensor]  # name of a stored tensor, or its end within a layer -> tensor
Shapes = Mapping[str, tuple[int, int]]  # linear layer -> (outputs, inputs)


class Quantized(NamedTuple):
    """What is stored for one linear layer, and its weight then, float32 [out, in]."""

    tensors: Tensors  # by their names in the file
    dense: torch.Tensor  # the weight then


class Method:
    """Turns the weight of a linear layer into what is stored, one layer at a time. One of your own
    gives `kind`, `bits`, `group_size`, `pack` and `dense`: it needs no inputs, and is judged by its
    dense weights, for no kernel multiplies it as it is."""

    kind: str  # the column `method` of its records
    bits: int  # of a weight
    group_size: int | None = None  # neighbouring weights of a row that share a scale
    needs_inputs = False  # whether it must have seen the layer's inputs
    weight_only = True  # whether the dense weights behave as the packed ones

    def settings(self) -> dict[str, Any]:
        """All that decides what it makes, for names of files."""
        return {"kind": self.kind, "bits": self.bits, "group_size": self.group_size}

    def config(self) -> dict[str, Any]:
        """The `quantization_config` of config.json; with it a folder finds its method again."""
        return {"quant_method": self.kind, **self.settings()}

    def check(self, shapes: Shapes) -> None:
        """QlabError, before any work, where the groups do not divide a layer's inputs."""
        for layer, (_, inputs) in shapes.items():
            if inputs % (self.group_size or 1):
                undivided = f"which groups of {self.group_size} do not divide"
                raise QlabError(f"{layer} has {inputs} inputs, {undivided}; choose other groups.")

    def observe(self, weight: torch.Tensor) -> Any:
        """What learns of the layer's inputs by `add_batch(inputs [1, tokens, in], outputs)`, from
        its weight [out, in] as float32; None: nothing does."""

    def pack(self, weight: torch.Tensor) -> Tensors:
        """What is stored of a weight [out, in] float32; `scales` are counted as such."""
        raise NotImplementedError

    def dense(self, tensors: Tensors, shape: tuple[int, int]) -> torch.Tensor:
        """The weight [out, in], float32, that stored tensors stand for."""
        raise NotImplementedError

    def quantize(self, weight: torch.Tensor, observer: Any = None) -> Quantized:
        """What is made of a weight [out, in] float32."""
        tensors = self.pack(weight)
        return Quantized(tensors, self.dense(tensors, tuple(weight.shape)))

    def load_packed(self, folder: Path, device: str):
        """The folder's model on kernels that multiply what is stored; QlabError without any."""
        raise QlabError(f"No kernel here multiplies what {folder} stores; load it dense.")


@dataclass(frozen=True)
class Library:
    """A variant that a library makes of the whole model: `make(task, target, **settings)` fills the
    folder `target`. Its text and settings are part of its name in build/: edited, it runs again."""

    kind: str | None  # the column `method` of its records; None: float
    bits: int  # of a weight
    group_size: int | None = None  # weights that share a scale, where it is told
    make: Callable[..., None] | None = None  # None: it is there
    settings: Mapping[str, Any] = field(default_factory=dict)  # of `make`
    check: Callable[[Shapes], None] = lambda shapes: None  # QlabError for widths it cannot take
    weight_only: bool = True  # whether inputs stay as they are
