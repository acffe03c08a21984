"""Where a quantized model goes wrong: the relative output error of each of its linear layers.

For weights W [out, in], their change D and the layer's inputs x in the float model, the error is
sqrt(sum |D x|^2 / sum |W x|^2) = sqrt(tr(D H D^T) / tr(W H W^T)) with H = sum x x^T, computed once
for all variants. The inputs are the float model's, so errors of earlier layers are not in it.
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

from qlab.core.records import Record
from qlab.language import decoder, streaming, walk
from qlab.language.build import Variants, reproducible
from qlab.language.data import Task
from qlab.language.measure import record


@torch.no_grad()
def layer_errors(folder: Path, quantized: dict, calibration, progress=iter) -> pd.DataFrame:
    """Table of layer (from 0), linear, variant, relative_error, over some passages' token ids;
    `quantized` has a folder for each variant of the float model in `folder`."""
    rows, through = [], walk.Walk(folder, calibration)
    read = {v: streaming.dense_reader(f, through.model) for v, f in quantized.items()}
    for index, block, groups in through.each(progress):
        for group in groups:
            width = decoder.matrix(block.get_submodule(group[0])).shape[1]
            hessian = torch.zeros(width, width)
            through.observe(index, group[:1], lambda _, x, __, to=hessian: _add(x, to))
            for name in group:
                linear = block.get_submodule(name)
                for variant, dense in read.items():
                    stored = dense(f"{through.prefix}.{index}.{name}.weight")
                    other = decoder.oriented(linear, stored).float()
                    error = relative_error(decoder.matrix(linear), other, hessian)
                    rows.append((index, name, variant, error))
    return pd.DataFrame(rows, columns=["layer", "linear", "variant", "relative_error"])


def _add(inputs: torch.Tensor, hessian: torch.Tensor) -> None:
    x = inputs.flatten(0, -2)
    hessian.addmm_(x.T, x)


def relative_error(weight: torch.Tensor, other: torch.Tensor, hessian: torch.Tensor) -> float:
    """sqrt(tr(D H D^T) / tr(W H W^T)) with D = other - weight, [out, in]; H is [in, in]. 0 where
    the layer gives only 0."""

    def energy(matrix: torch.Tensor) -> float:
        # In float64: its terms nearly cancel where inputs are correlated.
        return float(((matrix @ hessian) * matrix).sum(dtype=torch.float64))

    signal = energy(weight)
    return math.sqrt(max(energy(other - weight), 0.0) / signal) if signal > 0 else 0.0


@torch.no_grad()
def kurtoses(folder: Path, passages: list[list[int]]) -> pd.DataFrame:
    """Excess kurtosis of weights and of inputs, those of the passages (token ids) in the float
    model, of each linear layer: block, linear, weights, inputs. 0 for a normal distribution."""
    rows, through = [], walk.Walk(folder, passages)
    for index, block, groups in through.each():
        for group in groups:
            entered: list[np.ndarray] = []
            through.observe(index, group[:1], lambda _, x, __, to=entered: to.append(x.numpy()))
            inputs = float(stats.kurtosis(np.concatenate([x.ravel() for x in entered])))
            for name in group:
                weight = decoder.matrix(block.get_submodule(name)).numpy()
                rows.append((index, name, float(stats.kurtosis(weight.ravel())), inputs))
    return pd.DataFrame(rows, columns=["block", "linear", "weights", "inputs"])


def records(task: Task, variants: Variants, progress=iter) -> list[Record]:
    """The errors of the variants that are given, as records."""
    folders = {name: variant.folder for name, variant in variants.items()}
    with reproducible(task):
        table = layer_errors(task.folder, folders, task.calibration_tokens, progress)
    last = table["linear"].str.rsplit(".", n=1).str[-1]
    whole = table["linear"].groupby(last).transform("nunique") > 1  # as GPT-2's two c_proj
    table = table.assign(part=table["linear"].where(whole, last))
    about, n = ["relative_error", "layer", "part"], len(task.calibration)
    return [
        record.counted(task, variants[v], "layer_error", error, n, depth=layer, part=part)
        for v, error, layer, part in table[["variant", *about]].itertuples(index=False)
    ]
