"""TFLite files of partly quantized classifiers, checked layer by layer against what was asked.

tf.lite's converter follows the quantizers it finds, and rules of its own: it quantizes a layer
nobody chose where tensors before and after it are quantized, and leaves a chosen one float where
its input is. So each file is read back. The name of its weights says which layer they are.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from qlab.classifier.partial_qat import inner, keras, parameters
from qlab.core import quiet, tflite_graph
from qlab.core.errors import QlabError
from qlab.core.tf import tf

BITS = {"FLOAT32": 32, "INT8": 8, "INT4": 4}  # of a tensor's type in TFLite


class WrongTypes(QlabError):
    """A file whose weights are not quantized as asked."""


def convert(model: keras.Model) -> bytes:
    """The content of a .tflite of a float model, or of one that tfmot wrapped."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if any(inner(layer) is not layer for layer in model.layers):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with quiet.quiet():
        return converter.convert()


def operators_of(file: Path, layers: Sequence[str]) -> dict[str, tflite_graph.Operator]:
    """The operator of each of the named layers; QlabError where one is missing or ambiguous."""
    weighted = [o for o in tflite_graph.operators(file) if o.kind in tflite_graph.WEIGHTED]
    found = {}
    for layer in layers:
        named = [o for o in weighted if names(layer, o.inputs[1:])]
        if len(named) != 1:  # the converter keeps equal weights, or biases, of two layers once
            named = [o for o in named or weighted if names(layer, o.outputs)]
        if len(named) != 1:
            raise WrongTypes(
                f"{file.name}: {len(named)} operators with weights carry the name of the layer "
                f"{layer}; expected one. Layers that are applied twice, or not at all, cannot be "
                "told apart in the file."
            )
        found[layer] = named[0]
    return found


def names(layer: str, tensors: Sequence[str]) -> bool:
    """Whether a tensor's name holds the layer's as one of its parts."""
    return any(re.search(rf"(^|[/;])(quant_)?{re.escape(layer)}/", t) for t in tensors)


def weight_types(file: Path, layers: Sequence[str]) -> dict[str, str]:
    """The data type of each layer's weights in a file, such as INT8."""
    types = tflite_graph.tensor_types(file)
    return {layer: types[o.inputs[1]] for layer, o in operators_of(file, layers).items()}


def check(file: Path, layers: Sequence[str], chosen: Sequence[str], bits: int = 8) -> None:
    """WrongTypes, naming the layers, unless just the `chosen` of `layers` have integer weights."""
    expected = {layer: bits if layer in chosen else 32 for layer in layers}
    found = {layer: BITS.get(t, 0) for layer, t in weight_types(file, layers).items()}
    if wrong := {layer: found[layer] for layer in layers if found[layer] != expected[layer]}:
        told = ", ".join(
            f"{k} has {v or 'other'} bits instead of {expected[k]}" for k, v in wrong.items()
        )
        raise WrongTypes(f"{file.name}: the weights in the file are not as asked: {told}.")


def analytic_bytes(model: keras.Model, layers: Sequence[str], bits: Mapping[str, int]) -> int:
    """Bytes of the weights of `layers` at their bit widths, with a float32 scale per channel.

    Layers not in `bits` have 32 bits and no scales. Biases are left out.
    """
    total = 0
    for name, count in parameters(model, layers).items():
        width = bits.get(name, 32)
        total += -(-count * width // 8)
        if width < 32:
            total += 4 * model.get_layer(name).weights[0].shape[-1]
    return total
