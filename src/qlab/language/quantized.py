"""What a quantization method is, and what it makes of one linear layer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from qlab.core.errors import QlabError

Tensors = dict[str, torch.Tensor]  # name of a stored tensor, or its end within a layer -> tensor
Shapes = Mapping[str, tuple[int, int]]  # linear layer -> (outputs, inputs)


class Quantized(NamedTuple):
    """What is stored for one linear layer, and what its weight then is."""

    tensors: Tensors  # as a file holds them
    dense: torch.Tensor  # float32 [out, in]


class Method(ABC):
    """Turns the weight of a linear layer into what is stored, one layer at a time.

    One of your own gives `kind`, `bits`, `group_size`, `pack` and `dense`: it needs no inputs, and
    is judged by its dense weights, for no kernel multiplies it as it is.
    """

    kind: str  # the column `method` of its records
    bits: int  # of a weight
    group_size: int | None = None  # neighbouring weights of a row that share a scale
    needs_inputs = False  # whether it must have seen the layer's inputs
    weight_only = True  # whether the dense weights behave as the packed ones

    def config(self) -> dict[str, Any]:
        """The `quantization_config` of config.json; with it a folder finds its method again."""
        return {"quant_method": self.kind, **self.settings()}

    def settings(self) -> dict[str, Any]:
        """All that decides what it makes, for names of files."""
        return {"kind": self.kind, "bits": self.bits, "group_size": self.group_size}

    def check(self, shapes: Shapes) -> None:
        """QlabError, before any work, where the groups do not divide a layer's inputs."""
        for layer, (_, inputs) in shapes.items():
            if inputs % (self.group_size or 1):
                raise QlabError(
                    f"{layer} has {inputs} inputs, which groups of {self.group_size} do not "
                    "divide; choose another group size."
                )

    def observe(self, weight: torch.Tensor) -> Any:
        """What learns of the layer's inputs by `add_batch(inputs [1, tokens, in], outputs)`, from
        its weight [out, in] as float32; None: nothing does."""
        return None

    def pack(self, weight: torch.Tensor) -> Tensors:
        """What is stored of a weight [out, in] float32; `scales` are counted as such."""
        raise NotImplementedError

    @abstractmethod
    def dense(self, tensors: Tensors, shape: tuple[int, int]) -> torch.Tensor:
        """The weight [out, in], float32, that stored tensors stand for."""

    def load_packed(self, folder: Path, device: str):
        """The folder's model on kernels that multiply what is stored; QlabError without any."""
        raise QlabError(
            f"No kernel here multiplies what {folder} stores ({self.kind}); load it dense."
        )

    def quantize(self, weight: torch.Tensor, observer: Any = None) -> Quantized:
        """What is stored of a weight [out, in] float32, and its dense weight after it."""
        tensors = self.pack(weight)
        return Quantized(tensors, self.dense(tensors, tuple(weight.shape)))


@dataclass(frozen=True)
class Library:
    """A variant that a library makes of the whole model in one call.

    `make(task, target, **settings)` fills the folder `target` with a Hugging Face folder; the rest
    is what records say of it. Its text and its settings are part of its name in build/: edited, it
    runs again.
    """

    kind: str | None  # None: float
    bits: int  # of a weight
    group_size: int | None  # weights that share a scale
    make: Callable[..., None]  # what fills the folder
    settings: Mapping[str, Any] = field(default_factory=dict)  # of `make`
    check: Callable[[Shapes], None] = lambda shapes: None  # QlabError for widths it cannot take
    weight_only: bool = True  # whether the dense weights behave as the packed ones
