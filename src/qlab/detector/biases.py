"""Biases that do not fit into 32 bits: found in a quantized file, and mended.

LiteRT adds a bias as an integer, in steps of the input's scale times the filter's. A filter whose
weights are next to zero (weight decay leaves such), or an input that is never more than zero, has
a scale next to zero; its bias then needs more than 2^31 steps, ai-edge-quantizer cuts it off
without a word, and the channel forgets what it should answer.
"""

import copy
from collections import Counter, defaultdict
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
    weights: object  # the schema's tensor, with a scale a channel or one for all
    bias: object  # the schema's tensor
    before: np.ndarray  # the bias in the float file, [channels]
    reader: object  # the schema's operator
    place: int  # of the bias among its inputs


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
        yield _Biased(
            name, kind, float(read.quantization.scale[0]), weights, bias, before, operator, at[2]
        )


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
    bias has more than ROOM, 2^30. Operators that share weights get the scale that the neediest
    wants. A file in which all biases fit is returned as it is.
    QlabError: weights of fewer than 8 bits, or held in two ways at once.
    """
    model, sharing = tflite_graph.parsed(content), defaultdict(list)
    for one in _biased(model, float_file):
        sharing[one.weights.buffer].append(one)
    cut = [ones for ones in sharing.values() if any((_steps(o) >= LIMIT).any() for o in ones)]
    for ones in cut:
        larger = _rescale(model, ones)
        for one in ones:
            _rewrite(model, one, one.step * larger)
    return tflite_graph.packed(model) if cut else content


def _rescale(model, ones: list[_Biased]) -> np.ndarray:
    """Round the weights that operators share on scales that fit all their biases; these scales."""
    first = ones[0].weights
    held = [t for graph in model.subgraphs for t in graph.tensors if t.buffer == first.buffer]
    ways = {
        (t.type, *t.shape, t.quantization.quantizedDimension, *t.quantization.scale)
        for t in held
        if t.quantization is not None and t.quantization.scale is not None
    }
    inside = {id(t) for t in model.subgraphs[0].tensors}
    if tflite_graph.type_of(first) != "INT8" or len(ways) > 1 or {*map(id, held)} - inside:
        raise QlabError(
            f"The bias of {ones[0].operator} does not fit into 32 bits, and its weights cannot be "
            "rounded anew: expected int8 that the main graph alone reads, on the same scales "
            f"everywhere; found {tflite_graph.type_of(first)} in {len(held)} tensors. Leave this "
            "operator in float."
        )
    scale = np.asarray(first.quantization.scale, float)
    needed = np.max([_steps(one) for one in ones], axis=0)
    needed = needed if scale.size > 1 else needed.max()  # one scale for all channels
    larger = np.maximum(scale, scale * needed / ROOM)
    data, axis = model.buffers[first.buffer], first.quantization.quantizedDimension
    codes = np.moveaxis(data.data.view(np.int8).reshape(first.shape), axis, -1)
    codes = np.moveaxis(np.rint(codes * (scale / larger)).astype(np.int8), -1, axis)
    data.data = np.ascontiguousarray(codes).reshape(-1).view(np.uint8)
    for tensor in held:
        tensor.quantization.scale = larger.astype(np.float32)
    return larger


def _rewrite(model, one: _Biased, scale: np.ndarray) -> None:
    """Put down an operator's bias in steps of `scale`, in a tensor that no other operator reads."""
    main, bias = model.subgraphs[0], copy.deepcopy(one.bias)
    readers = Counter(int(i) for operator in main.operators for i in operator.inputs)
    place = int(one.reader.inputs[one.place])
    if readers[place] > 1:
        place = len(main.tensors)
        main.tensors.append(bias)
        one.reader.inputs = np.array(one.reader.inputs, np.int32)
        one.reader.inputs[one.place] = place
    main.tensors[place] = bias
    if sum(t.buffer == bias.buffer for graph in model.subgraphs for t in graph.tensors) > 1:
        bias.buffer = len(model.buffers)
        model.buffers.append(type(model.buffers[0])())
    steps = np.rint(one.before / scale).astype(_CODES[tflite_graph.type_of(bias)])
    model.buffers[bias.buffer].data = steps.view(np.uint8)
    bias.quantization.scale = np.asarray(scale, np.float32)
