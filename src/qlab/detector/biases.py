"""Biases that do not fit into 32 bits: found in a quantized file, and mended.

LiteRT adds a bias as an integer, in steps of the input's scale times the filter's. A filter whose
weights are next to zero (weight decay leaves such) has a scale next to zero; its bias then needs
more than 2^31 steps, and ai-edge-quantizer cuts it off without a word.
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

    name: str  # its output tensor
    operator: object  # the schema's, as are its weights and bias
    weights: object
    bias: object
    place: int  # of the bias among the operator's inputs
    step: float  # scale of its input
    before: np.ndarray  # the bias in the float file, [channels]

    def steps(self) -> np.ndarray:
        """Steps that the bias of each channel needs, [channels]."""
        scale = np.asarray(self.weights.quantization.scale, float)
        return np.abs(self.before) / (self.step * scale)


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
        if operator.inputs[at[2]] >= 0 and tflite_graph.type_of(bias) in _CODES:
            whole = original.subgraphs[0].tensors[places[name][at[2]]]
            before = original.buffers[whole.buffer].data.view(np.float32).astype(float)
            step = float(read.quantization.scale[0])
            yield _Biased(name, operator, weights, bias, at[2], step, before)


def cut_off(file: Path, float_file: Path) -> pd.DataFrame:
    """Operators of a quantized file some of whose biases do not fit, a row each.

    Columns: `operator` (its output tensor), `kind`, `channels`, `cut` (how many of these are cut
    off), `input_scale`, `least_scale` (of a filter), `most_steps` (that a bias needs).
    """
    model, rows = tflite_graph.read(file), []
    for one in _biased(model, float_file):
        steps, kind = one.steps(), tflite_graph.kind(model, one.operator)
        if cut := int((steps >= LIMIT).sum()):
            least = float(np.min(one.weights.quantization.scale))
            rows.append((one.name, kind, len(steps), cut, one.step, least, steps.max()))
    names = ["operator", "kind", "channels", "cut", "input_scale", "least_scale", "most_steps"]
    return pd.DataFrame(rows, columns=names)


def mended(content: bytes, float_file: Path) -> bytes:
    """A quantized .tflite whose filters have scales large enough for their biases.

    Such a filter's weights are rounded again on the larger scale: with K weights, at most 2^14 K
    steps are lost of a sum whose bias has more than ROOM. Operators that share weights share the
    scale. Where all biases fit, the content itself comes back. QlabError: weights of fewer than 8
    bits, or held in two ways at once.
    """
    model, sharing = tflite_graph.parsed(content), defaultdict(list)
    for one in _biased(model, float_file):
        sharing[one.weights.buffer].append(one)
    cut = [ones for ones in sharing.values() if any((o.steps() >= LIMIT).any() for o in ones)]
    for ones in cut:
        larger = _rescale(model, ones)
        for one in ones:
            _rewrite(model, one, one.step * larger)
    return tflite_graph.packed(model) if cut else content


def _rescale(model, ones: list[_Biased]) -> np.ndarray:
    """Round the weights that operators share on scales that fit all their biases; these scales."""
    first = ones[0].weights
    how, inside = first.quantization, {id(t) for t in model.subgraphs[0].tensors}
    held = [t for graph in model.subgraphs for t in graph.tensors if t.buffer == first.buffer]
    ways = {
        (
            id(t) in inside,
            t.type,
            *t.shape,
            t.quantization.quantizedDimension,
            *t.quantization.scale,
        )
        for t in held
    }
    if tflite_graph.type_of(first) != "INT8" or len(ways) > 1:
        raise QlabError(
            f"The bias of {ones[0].name} does not fit into 32 bits, and its weights cannot be "
            "rounded anew: expected int8 that the main graph alone reads, on the same scales "
            f"everywhere; found {tflite_graph.type_of(first)} in {len(held)} tensors. Leave this "
            "operator in float."
        )
    scale = np.asarray(how.scale, float)
    needed = np.max([one.steps() for one in ones], axis=0)
    needed = needed if scale.size > 1 else needed.max()  # one scale for all channels
    larger = np.maximum(scale, scale * needed / ROOM)
    data = model.buffers[first.buffer]
    codes = np.moveaxis(data.data.view(np.int8).reshape(first.shape), how.quantizedDimension, -1)
    codes = np.rint(codes * (scale / larger)).astype(np.int8)
    codes = np.ascontiguousarray(np.moveaxis(codes, -1, how.quantizedDimension))
    data.data = codes.reshape(-1).view(np.uint8)
    for tensor in held:
        tensor.quantization.scale = larger.astype(np.float32)
    return larger


def _rewrite(model, one: _Biased, scale: np.ndarray) -> None:
    """Put down an operator's bias in steps of `scale`, in a tensor that no other operator reads."""
    main, bias = model.subgraphs[0], copy.deepcopy(one.bias)
    readers = Counter(int(i) for operator in main.operators for i in operator.inputs)
    place = int(one.operator.inputs[one.place])
    if readers[place] > 1:
        place = len(main.tensors)
        main.tensors.append(bias)
        one.operator.inputs = np.array(one.operator.inputs, np.int32)
        one.operator.inputs[one.place] = place
    main.tensors[place] = bias
    if sum(t.buffer == bias.buffer for graph in model.subgraphs for t in graph.tensors) > 1:
        bias.buffer = len(model.buffers)
        model.buffers.append(type(model.buffers[0])())
    steps = np.rint(one.before / scale).astype(_CODES[tflite_graph.type_of(bias)])
    model.buffers[bias.buffer].data = steps.view(np.uint8)
    bias.quantization.scale = np.asarray(scale, np.float32)
