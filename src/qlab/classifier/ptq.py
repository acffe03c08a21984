"""Post-training quantization of chosen layers by ai-edge-quantizer: no training, a control."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from qlab.classifier.export import names, operators_of
from qlab.core import tflite_graph
from qlab.core.litert import quiet_quantizer
from qlab.core.tflite_graph import Operator

# How weights are rounded, by ai-edge-quantizer's name: to a grid up to their largest value, or to
# a smaller one: MSE's is a multiple of their standard deviation, right for a bell curve (the ones
# and zeros of a fixed shortcut are none); OCTAV (arXiv 2206.06501) looks for the least error.
ROUNDINGS = {"": "min_max_uniform_quantize", "mse": "MSE", "octav": "OCTAV"}


def quantize(
    float_file: Path,
    chosen: Sequence[str],
    bits: int,
    calibration: np.ndarray,
    threads: int = 2,
    leave_float: Sequence[str] = (),
    rounding: str = "",
) -> bytes:
    """A .tflite whose `chosen` layers compute in integers, from the float32 file.

    Weights get `bits` (8 or 4), symmetric, one scale a channel of a convolution, one a dense layer,
    as in tfmot; activations 8, their ranges those on `calibration`, images uint8 [n, h, w, c].
    """
    from ai_edge_quantizer import qtyping, quantizer

    made = quantizer.Quantizer(str(float_file))
    kind, grain = qtyping.TFLOperationName, qtyping.QuantGranularity
    weighted = dict.fromkeys(operators_of(float_file, chosen).values())
    for operator in [*weighted, *followers(float_file, weighted, leave_float)]:
        dense = operator.kind == "FULLY_CONNECTED"
        widths = 8, bits if operator in weighted else 8  # of activations and weights
        how = {"algorithm_key": ROUNDINGS[rounding if operator in weighted else ""]}
        grains = grain.TENSORWISE if dense else grain.CHANNELWISE
        made.add_static_config(operator.rule, kind.ALL_SUPPORTED, *widths, grains, **how)
    # Without this the interface itself turns int8.
    made.update_quantization_recipe(".*", kind.OUTPUT, algorithm_key="no_quantize")
    (signature,) = tflite_graph.read(float_file).signatureDefs
    inputs = [entry.name.decode() for entry in signature.inputs]
    samples = [dict.fromkeys(inputs, image[None].astype(np.float32)) for image in calibration]
    with quiet_quantizer():
        ranges = made.calibrate({tflite_graph.SIGNATURE: samples}, num_threads=threads)
        return bytes(made.quantize(ranges).quantized_model)


def followers(
    file: Path, quantized: Iterable[Operator], leave_float: Sequence[str] = ()
) -> list[Operator]:
    """The operators without weights that read nothing but what quantized ones write; not those of
    layers in `leave_float`, nor what reads these."""
    known = {name for operator in quantized for name in operator.outputs}
    fixed, found = tflite_graph.constants(file), []
    for operator in tflite_graph.operators(file):
        left = any(names(layer, operator.outputs) for layer in leave_float)
        if operator.kind in tflite_graph.WEIGHTED or left:
            continue
        if set(operator.inputs) - fixed <= known:
            known |= set(operator.outputs)
            found.append(operator)
    return found
