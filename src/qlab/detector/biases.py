"""Biases that do not fit into 32 bits: found in a quantized file, and mended.

LiteRT adds a bias as an integer, in steps of the input's scale times the filter's. A filter whose
weights are next to zero (weight decay leaves such), or an input that is never more than zero, has
a scale next to zero; its bias then needs more than 2^31 steps, ai-edge-quantizer cuts it off
without a word, and the channel forgets what it should answer.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from qlab.core import tflite_graph
from qlab.core.errors import QlabError

LIMIT = 2.0**31  # steps of int32; the kernels for int16 inputs keep no more of an int64 one
ROOM = 2.0**30  # steps that a mended bias may take, so that the sum with the products fits too
_CODES = {"INT32": np.int32, "INT64": np.int64}


class _Biased(NamedTuple):
    """An operator of a quantized file that adds an integer bias."""

    operator: str  # by its output tensor
    kind: str
    step: float  # scale of its input
    weights: object  # the schema's tensor, with a scale a channel
    bias: object  # the schema's tensor
    before: np.ndarray  # the bias in the float file, [channels]


def _biased(model, float_file: Path) -> Iterator[_Biased]:
    original = tflite_graph.read(float_file)
    places = {tflite_graph.output(original, o): o.inputs for o in original.subgraphs[0].operators}
    tensors = model.subgraphs[0].tensors
    for operator in model.subgraphs[0].operators:
        name, kind = tflite_graph.output(model, operator), tflite_graph.kind(model, operator)
        at = (2, 1, 3) if kind == "TRANSPOSE_CONV" else (0, 1, 2)  # input, weights, bias
        if kind not in tflite_graph.WEIGHTED or len(operator.inputs) <= at[2]:
            continue
        read, weights, bias = (tensors[operator.inputs[i]] for i in at)
        if operator.inputs[at[2]] < 0 or tflite_graph.type_of(bias) not in _CODES:
            continue
        if name not in places:
            raise QlabError(f"{float_file.name} has no {kind} with the output {name}.")
        whole = original.subgraphs[0].tensors[places[name][at[2]]]
        before = original.buffers[whole.buffer].data.view(np.float32).astype(float)
        yield _Biased(name, kind, float(read.quantization.scale[0]), weights, bias, before)


def _steps(one: _Biased) -> np.ndarray:
    """Steps that the bias of each channel needs, [channels]."""
    return np.abs(one.before) / (one.step * np.asarray(one.weights.quantization.scale, float))


def cut_off(file: Path, float_file: Path) -> pd.DataFrame:
    """Operators of a quantized file some of whose biases do not fit, a row each.

    Columns: `operator` (its output tensor), `kind`, `channels`, `cut` (how many of these are cut
    off), `input_scale`, `least_scale` (of a filter), `most_steps` (that a bias needs).
    """
    rows = []
    for one in _biased(tflite_graph.read(file), float_file):
        steps = _steps(one)
        if cut := int((steps >= LIMIT).sum()):
            least = float(np.min(one.weights.quantization.scale))
            rows.append((one.operator, one.kind, len(steps), cut, one.step, least, steps.max()))
    names = ["operator", "kind", "channels", "cut", "input_scale", "least_scale", "most_steps"]
    return pd.DataFrame(rows, columns=names)


def mended(content: bytes, float_file: Path) -> bytes:
    """A quantized .tflite whose filters have scales large enough for their biases.

    Such a filter's weights are rounded again on the larger scale, which often leaves only zeros.
    What they had to say is too small to matter: with K weights, at most 2^14 K steps of a sum whose
    bias has more than ROOM, 2^30. A file in which all biases fit is returned as it is.
    """
    model, changed = tflite_graph.parsed(content), False
    for one in _biased(model, float_file):
        scale = np.asarray(one.weights.quantization.scale, float)
        larger = np.maximum(scale, scale * _steps(one) / ROOM)
        if (larger == scale).all() or not (_steps(one) >= LIMIT).any():
            continue
        weights, axis = (
            model.buffers[one.weights.buffer],
            one.weights.quantization.quantizedDimension,
        )
        codes = np.moveaxis(weights.data.view(np.int8).reshape(one.weights.shape), axis, -1)
        codes = np.moveaxis(np.rint(codes * (scale / larger)).astype(np.int8), -1, axis)
        weights.data = np.ascontiguousarray(codes).reshape(-1).view(np.uint8)
        kind = _CODES[tflite_graph.type_of(one.bias)]
        steps = np.rint(one.before / (one.step * larger)).astype(kind)
        model.buffers[one.bias.buffer].data = steps.view(np.uint8)
        one.weights.quantization.scale = larger.astype(np.float32)
        one.bias.quantization.scale = (one.step * larger).astype(np.float32)
        changed = True
    return tflite_graph.packed(model) if changed else content
