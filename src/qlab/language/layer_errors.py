"""Where a quantized model goes wrong: the relative output error of each of its linear layers.

For weights W [out, in], their change D and the layer's inputs x in the float model, the error is
sqrt(sum |D x|^2 / sum |W x|^2) = sqrt(tr(D H D^T) / tr(W H W^T)) with H = sum x x^T, computed once
for all variants. The inputs are the float model's, so errors of earlier layers are not in it.
"""

import math
from pathlib import Path

import pandas as pd
import torch

from qlab.core.records import Record
from qlab.language import streaming, walk
from qlab.language.build import Variants
from qlab.language.data import Task
from qlab.language.decoder import oriented
from qlab.language.digits import reproducible
from qlab.language.metrics import record


def layer_errors(
    folder: Path, quantized: dict[str, Path], calibration: list[list[int]], progress=iter
) -> pd.DataFrame:
    """Table of layer (from 0), linear, variant, relative_error, over some passages' token ids.

    `quantized` has a folder for each variant of the float model in `folder`. Of LLM.int8() it is
    the error of the weights alone.
    """
    rows = []
    with torch.no_grad():
        through = walk.Walk(folder, calibration)
        read = {v: streaming.dense_reader(f, through.model) for v, f in quantized.items()}
        for index, group in through.layers(progress):
            hessian = _hessian(through, index, next(iter(group)))
            for name, linear in group.items():
                full = f"{through.prefix}.{index}.{name}.weight"
                weight = oriented(linear, linear.weight)
                for variant, dense in read.items():
                    other = oriented(linear, dense(full)).float()
                    rows.append((index, name, variant, relative_error(weight, other, hessian)))
    return pd.DataFrame(rows, columns=["layer", "linear", "variant", "relative_error"])


def _hessian(through: walk.Walk, index: int, name: str) -> torch.Tensor:
    """sum x x^T [in, in] of a linear layer's inputs over all passages."""
    total: list[torch.Tensor] = []

    def seen(_, inputs: torch.Tensor, __) -> None:
        x = inputs.reshape(-1, inputs.shape[-1])
        if not total:
            total.append(torch.zeros(x.shape[1], x.shape[1], device=x.device))
        total[0].addmm_(x.T, x)

    through.observe(index, [name], seen)
    return total[0]


def relative_error(weight: torch.Tensor, other: torch.Tensor, hessian: torch.Tensor) -> float:
    """sqrt(tr(D H D^T) / tr(W H W^T)) with D = other - weight; 0 where the layer gives only 0.

    Weights are [out, in], the Hessian of the inputs [in, in].
    """
    change, signal = (_energy(matrix, hessian) for matrix in (other - weight, weight))
    return math.sqrt(max(change, 0.0) / signal) if signal > 0 else 0.0


def _energy(matrix: torch.Tensor, hessian: torch.Tensor) -> float:
    """tr(M H M^T), summed in float64: its terms nearly cancel where inputs are correlated."""
    return float(((matrix @ hessian) * matrix).sum(dtype=torch.float64))


def records(task: Task, variants: Variants, progress=iter) -> list[Record]:
    """The errors of the variants that are given, as records."""
    with reproducible(task):
        folders = {name: variant.folder for name, variant in variants.items()}
        table = layer_errors(task.folder, folders, task.calibration_tokens, progress)
    last = table["linear"].str.rsplit(".", n=1).str[-1]
    whole = table["linear"].groupby(last).transform("nunique") > 1  # as GPT-2's two c_proj
    n = len(task.calibration)
    return [
        record.counted(
            task, variants[row.variant], "layer_error", row.relative_error, n,
            depth=row.layer, part=row.part,
        )
        for row in table.assign(part=table["linear"].where(whole, last)).itertuples()
    ]  # fmt: skip
