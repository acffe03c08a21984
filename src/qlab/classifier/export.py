"""TFLite files of partly quantized classifiers, checked layer by layer against what was asked.

They come from a model that tfmot wrapped or, as a control without training, from post-training
quantization (PTQ) by ai-edge-quantizer.

tf.lite's converter follows the quantizers it finds, but also its own rules: it quantizes a layer
nobody chose if the tensors before and after it are quantized, and leaves a chosen layer float if
its input is float. So each file is read back, and its weights are assigned to layers by name.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from qlab.classifier.partial_qat import inner, keras, part
from qlab.core import quiet
from qlab.core.errors import QlabError
from qlab.tflite import graph as tflite_graph
from qlab.tflite.litert import quiet_quantizer
from qlab.tflite.tf import tf

# How weights are rounded, by ai-edge-quantizer's name: to a grid up to their largest value, or to a
# smaller one. MSE's ends at a multiple of their standard deviation, right for a bell curve (which a
# fixed shortcut's ones and zeros are not); OCTAV (arXiv 2206.06501) seeks the least error.
ROUNDINGS = {"": "min_max_uniform_quantize", "mse": "MSE", "octav": "OCTAV"}
BITS = {"FLOAT32": 32, "INT8": 8, "INT4": 4}  # by a tensor's type in TFLite


def convert(model: keras.Model) -> bytes:
    """Convert a float model, or one that tfmot wrapped, to the content of a .tflite."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if any(inner(layer) is not layer for layer in model.layers):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with quiet.quiet():
        return converter.convert()


def ptq(
    float_file: Path, chosen: Sequence[str], bits: int, calibration: np.ndarray, threads: int = 2,
    leave_float: Sequence[str] = (), rounding: str = "",
) -> bytes:  # fmt: skip
    """Make, from the float32 file, a .tflite whose `chosen` layers compute in integers.

    As in tfmot, weights get `bits` (8 or 4), symmetric, one scale per channel of a convolution or
    per dense layer; activations get 8, with ranges from `calibration`, images uint8 [n, h, w, c].
    Operators without weights that follow are quantized too, except in layers of `leave_float`.
    """
    from ai_edge_quantizer import qtyping, quantizer

    made = quantizer.Quantizer(str(float_file))
    kind, grain = qtyping.TFLOperationName, qtyping.QuantGranularity
    weighted, fixed = operators_of(float_file, chosen).values(), tflite_graph.constants(float_file)
    known = {name for operator in weighted for name in operator.outputs}
    for operator in tflite_graph.operators(float_file):
        mine = operator in weighted
        left = any(names(layer, operator.outputs) for layer in leave_float)
        left = left or operator.kind in tflite_graph.WEIGHTED
        # An operator without weights follows if it reads only what quantized operators write.
        if not mine and (left or not set(operator.inputs) - fixed <= known):
            continue
        known |= set(operator.outputs)
        dense = operator.kind == "FULLY_CONNECTED"
        widths = 8, bits if mine else 8  # of activations and weights
        how = {"algorithm_key": ROUNDINGS[rounding if mine else ""]}
        grains = grain.TENSORWISE if dense else grain.CHANNELWISE
        made.add_static_config(operator.rule, kind.ALL_SUPPORTED, *widths, grains, **how)
    # Without this, the model's interface itself would become int8.
    made.update_quantization_recipe(".*", kind.OUTPUT, algorithm_key="no_quantize")
    (signature,) = tflite_graph.read(float_file).signatureDefs
    inputs = [entry.name.decode() for entry in signature.inputs]
    samples = [dict.fromkeys(inputs, image[None].astype(np.float32)) for image in calibration]
    with quiet_quantizer():
        ranges = made.calibrate({tflite_graph.SIGNATURE: samples}, num_threads=threads)
        return bytes(made.quantize(ranges).quantized_model)


def operators_of(file: Path, layers: Sequence[str]) -> dict[str, tflite_graph.Operator]:
    """The operator of each of the named layers; QlabError if one is missing or ambiguous."""
    weighted = [o for o in tflite_graph.operators(file) if o.kind in tflite_graph.WEIGHTED]
    found = {}
    for layer in layers:
        named = [o for o in weighted if names(layer, o.inputs[1:])]
        if len(named) != 1:  # two layers' equal weights, or biases, are stored only once
            named = [o for o in named or weighted if names(layer, o.outputs)]
        if len(named) != 1:
            raise QlabError(
                f"{file.name}: {len(named)} operators with weights carry the name of the layer "
                f"{layer}; expected one. A layer may be applied twice, or not at all."
            )
        found[layer] = named[0]
    return found


def names(layer: str, tensors: Sequence[str]) -> bool:
    """Whether the name of any of the tensors has the layer's name as one of its parts."""
    return any(re.search(rf"(^|[/;])(quant_)?{re.escape(layer)}/", t) for t in tensors)


def weight_types(file: Path, layers: Sequence[str]) -> dict[str, str]:
    """The data type of each layer's weights in a file, such as INT8."""
    types = tflite_graph.tensor_types(file)
    return {layer: types[o.inputs[1]] for layer, o in operators_of(file, layers).items()}


def check(file: Path, layers: Sequence[str], chosen: Sequence[str], bits: int = 8) -> None:
    """QlabError, naming the layers, unless exactly `chosen` of `layers` have `bits`-bit weights."""
    asked = {layer: bits if layer in chosen else 32 for layer in layers}
    found = {layer: BITS.get(kind, "other") for layer, kind in weight_types(file, layers).items()}
    if wrong := [layer for layer in layers if found[layer] != asked[layer]]:
        told = ", ".join(f"{x} has {found[x]} bits instead of {asked[x]}" for x in wrong)
        raise QlabError(f"{file.name}: weights in the file are not as asked: {told}.")


def _bytes(weight, bits: int) -> int:
    """Bytes of a weight at a bit width; below 32 bits with a float32 scale per channel."""
    channels = weight.shape[-2:] if part(weight).startswith("depthwise") else weight.shape[-1:]
    scales = 4 * int(np.prod(channels)) if bits < 32 else 0
    return -(-int(np.prod(weight.shape)) * bits // 8) + scales


def analytic_bytes(model: keras.Model, layers: Sequence[str], bits: Mapping[str, int]) -> int:
    """Bytes of the kernels of `layers` at their `bits` (32 where not given), with scales."""
    return sum(_bytes(model.get_layer(name).weights[0], bits.get(name, 32)) for name in layers)


def update_bytes(model: keras.Model, layers: Sequence[str], bits: int) -> int:
    """Bytes of one worker's update of `layers` in a round of federated averaging (McMahan et al.,
    arXiv 1602.05629): kernels at `bits` with their scales, bias and normalization in float32."""
    weights = [weight for name in layers for weight in model.get_layer(name).weights]
    return sum(_bytes(w, bits if "kernel" in part(w) else 32) for w in weights)
