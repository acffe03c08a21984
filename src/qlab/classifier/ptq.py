"""Post-training quantization of chosen layers by ai-edge-quantizer: no training, a control."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from qlab.classifier.export import names, operators_of
from qlab.core import tflite_graph
from qlab.core.errors import QlabError
from qlab.core.litert import quiet_quantizer
from qlab.core.tflite_graph import Operator

ACTIVATION_BITS = 8  # of inputs and outputs of quantized layers
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
    as in tfmot; activations 8. Operators without weights follow where all they read comes from
    quantized ones, but for those of the layers `leave_float`. `calibration`, images
    uint8 [n, h, w, c], gives the activations' ranges.
    QlabError: no calibration images.
    """
    if not len(calibration):
        raise QlabError(
            "The calibration set is empty; post-training quantization needs images to learn "
            "the range of every tensor."
        )
    quantizer = _quantizer(float_file, chosen, bits, leave_float, rounding)
    names = tflite_graph.signature_inputs(float_file)
    samples = [dict.fromkeys(names, image[None].astype(np.float32)) for image in calibration]
    with quiet_quantizer():
        ranges = quantizer.calibrate({tflite_graph.SIGNATURE: samples}, num_threads=threads)
        return bytes(quantizer.quantize(ranges).quantized_model)


def _quantizer(float_file: Path, chosen, bits: int, leave_float, rounding: str):
    from ai_edge_quantizer import qtyping, quantizer

    made = quantizer.Quantizer(str(float_file))
    kind, grain = qtyping.TFLOperationName, qtyping.QuantGranularity
    weighted = dict.fromkeys(operators_of(float_file, chosen).values())
    for operator in [*weighted, *followers(float_file, weighted, leave_float)]:
        dense = operator.kind == "FULLY_CONNECTED"
        made.add_static_config(
            operator.rule,
            kind.ALL_SUPPORTED,
            ACTIVATION_BITS,
            bits if operator in weighted else 8,
            grain.TENSORWISE if dense else grain.CHANNELWISE,
            algorithm_key=ROUNDINGS[rounding if operator in weighted else ""],
        )
    # Without this the interface itself turns int8.
    made.update_quantization_recipe(".*", kind.OUTPUT, algorithm_key="no_quantize")
    return made


def followers(
    file: Path, quantized: Iterable[Operator], leave_float: Sequence[str] = ()
) -> list[Operator]:
    """The operators without weights that read nothing but what quantized ones write.

    Operators whose output carries the name of a layer in `leave_float` are not among them, nor what
    reads it.
    """
    known = {name for operator in quantized for name in operator.outputs}
    fixed, found = tflite_graph.constants(file), []
    for operator in tflite_graph.operators(file):
        if operator.kind in tflite_graph.WEIGHTED or any(
            names(layer, operator.outputs) for layer in leave_float
        ):
            continue
        if set(operator.inputs) - fixed <= known:
            known |= set(operator.outputs)
            found.append(operator)
    return found
