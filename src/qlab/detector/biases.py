"""Find and mend biases in a quantized file that do not fit into 32 bits.

LiteRT adds a bias as an integer, in steps of the input's scale times the filter's. A filter whose
weights are close to zero (weight decay leaves some) has a scale close to zero; its bias then needs
more than 2^31 steps, and ai-edge-quantizer cuts it off silently.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from qlab.core.errors import QlabError
from qlab.tflite import graph as tflite_graph

LIMIT = 2.0**31  # steps of int32; kernels for int16 inputs keep no more, even of an int64 bias
ROOM = 2.0**30  # steps that a mended bias may take, so that its sum with the products fits too
_CODES = {"INT32": np.int32, "INT64": np.int64}


class _Biased(NamedTuple):
    """An operator of a quantized file that adds an integer bias."""

    operator: object  # the schema's, as are its weights
    weights: object
    places: tuple[int, int]  # of weights and bias among the operator's inputs
    step: float  # scale of its input
    before: np.ndarray  # the bias in the float file, [channels]
    steps: np.ndarray  # that each bias needs, [channels]


def _biased(model, float_file: Path) -> Iterator[_Biased]:
    original = tflite_graph.read(float_file)
    places = {tflite_graph.output(original, o): o.inputs for o in original.subgraphs[0].operators}
    tensors = model.subgraphs[0].tensors
    for operator in model.subgraphs[0].operators:
        kind = tflite_graph.kind(model, operator)
        at = (2, 1, 3) if kind == "TRANSPOSE_CONV" else (0, 1, 2)  # input, weights, bias
        if kind not in tflite_graph.WEIGHTED or [*operator.inputs, -1][at[2]] < 0:
            continue
        read, weights, bias = (tensors[operator.inputs[i]] for i in at)
        if tflite_graph.type_of(bias) in _CODES:
            place = places[tflite_graph.output(model, operator)][at[2]]
            held = original.buffers[original.subgraphs[0].tensors[place].buffer].data
            before, step = held.view(np.float32).astype(float), float(read.quantization.scale[0])
            steps = np.abs(before) / (step * np.array(weights.quantization.scale, float))
            yield _Biased(operator, weights, at[1:], step, before, steps)


def cut_off(file: Path, float_file: Path) -> pd.DataFrame:
    """A table of the operators in a quantized file with biases that do not fit. Columns: `operator`
    (its output tensor), `kind`, `channels`, `cut` (how many channels are cut off), `input_scale`,
    `least_scale` (of a filter), `most_steps` (that a bias needs)."""
    model, rows = tflite_graph.read(file), []
    for one in _biased(model, float_file):
        if cut := int((one.steps >= LIMIT).sum()):
            about = [of(model, one.operator) for of in (tflite_graph.output, tflite_graph.kind)]
            scales = one.step, float(np.min(one.weights.quantization.scale))
            rows.append((*about, len(one.steps), cut, *scales, one.steps.max()))
    names = ["operator", "kind", "channels", "cut", "input_scale", "least_scale", "most_steps"]
    return pd.DataFrame(rows, columns=names)


def mended(content: bytes, float_file: Path) -> bytes:
    """Give the filters of a quantized .tflite scales large enough for their biases; if all fit,
    return the content itself. With K weights, rounding a filter on its larger scale loses at most
    2^14 K steps of a sum whose bias has more than ROOM. QlabError: weights of fewer bits."""
    model = tflite_graph.read(content)
    cut = [one for one in _biased(model, float_file) if (one.steps >= LIMIT).any()]
    for one in cut:
        if (kind := tflite_graph.type_of(one.weights)) != "INT8":
            raise QlabError(
                f"The bias of {tflite_graph.output(model, one.operator)} does not fit into 32 "
                f"bits; its weights would have to be INT8, found {kind}. Leave it in float."
            )
        weights, bias = (tflite_graph.own(model, one.operator, place) for place in one.places)
        scale = np.asarray(weights.quantization.scale, float)
        needed = one.steps if scale.size > 1 else one.steps.max()  # one scale for all channels
        larger = np.maximum(scale, scale * needed / ROOM)
        along = np.ones(len(weights.shape), int)
        along[weights.quantization.quantizedDimension] = -1
        data = model.buffers[weights.buffer]
        codes = data.data.view(np.int8).reshape(weights.shape) * (scale / larger).reshape(along)
        data.data = np.rint(codes).astype(np.int8).ravel().view(np.uint8)
        steps = np.rint(one.before / (one.step * larger)).astype(_CODES[tflite_graph.type_of(bias)])
        model.buffers[bias.buffer].data = steps.view(np.uint8)
        weights.quantization.scale = larger.astype(np.float32)
        bias.quantization.scale = (one.step * larger).astype(np.float32)
    return tflite_graph.packed(model) if cut else content
