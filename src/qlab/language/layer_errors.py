"""Where a quantized model goes wrong: the relative output error of each of its linear layers.

For weights W [out, in], their change D and the layer's inputs x in the float model, the error is
sqrt(sum |D x|^2 / sum |W x|^2) = sqrt(tr(D H D^T) / tr(W H W^T)) with H = sum x x^T, computed once
for all variants. The inputs are the float model's, so errors of earlier layers are not in it.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from qlab.core.records import Record
from qlab.language import configuration, decoder, formats, streaming, walk
from qlab.language.build import Variants
from qlab.language.data import Task
from qlab.language.digits import reproducible
from qlab.language.metrics import record

if TYPE_CHECKING:
    import pandas as pd


def layer_errors(
    folder: Path,
    quantized: dict[str, Path],
    calibration: list[list[int]],
    device: str = "cpu",
    progress=iter,
) -> "pd.DataFrame":
    """Table of layer (from 0), linear, variant, relative_error, over some passages' token ids.

    `quantized` has a folder for each variant of the float model in `folder`. Of LLM.int8() it is
    the error of the weights alone. QlabError: no passages, or folders that do not fit.
    """
    import pandas as pd

    walk.checked(calibration, configuration.check(folder))
    rows = []
    with torch.no_grad():
        through = walk.Walk(folder, calibration, "float32", device)
        read = {v: _reader(path, through.model) for v, path in quantized.items()}
        for index in progress(range(len(through))):
            with through.block(index) as block:
                linears = decoder.linears(block)
                for group in through.groups(index):
                    hessian = _hessian(through, index, group[0])
                    for name in group:
                        full = f"{through.prefix}.{index}.{name}"
                        for variant, dense in read.items():
                            weight = linears[name].weight
                            other = dense(f"{full}.weight", weight.shape).to(weight)
                            pair = (decoder.oriented(linears[name], w) for w in (weight, other))
                            rows.append((index, name, variant, relative_error(*pair, hessian)))
                through.advance(index)
    return pd.DataFrame(rows, columns=["layer", "linear", "variant", "relative_error"])


def _reader(folder: Path, model) -> decoder.Read:
    method = formats.stored(configuration.check(folder).quantization_config, folder)
    return streaming.dense_reader(folder, model, method)


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
        table = layer_errors(task.folder, folders, task.calibration_tokens, progress=progress)
    last = {name: name.rsplit(".", 1)[-1] for name in table["linear"].unique()}
    twice = [name for name in last if list(last.values()).count(last[name]) > 1]
    last |= {name: name for name in twice}  # as GPT-2's two of the name c_proj
    n = len(task.calibration)
    return [
        record.counted(
            task, variants[row.variant], "layer_error", row.relative_error, n,
            depth=row.layer, part=last[row.linear],
        )
        for row in table.itertuples()
    ]  # fmt: skip
