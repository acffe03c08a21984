"""Quantization-aware training of chosen layers, wrapped by tensorflow-model-optimization (tfmot).

A weighted layer is quantized together with the batch normalization and the activation that follow
it, because the converter folds the three into one operator. A layer without weights is quantized if
everything it reads is. Where a quantized layer reads from a float one, tfmot puts a quantizer at
the float one's output, as an integer operator must read integers (`requires_output_quantize` in its
`quantize_apply`): so the layer before shows up wrapped too. tfmot does so for the kinds of layers
that it knows; for others (such as Rescaling) it is done here.
"""

from collections.abc import Sequence
from functools import cache

from qlab.core import quiet
from qlab.core.errors import QlabError
from qlab.tflite.tf import tf

with quiet.quiet():
    import tensorflow_model_optimization as tfmot
    import tf_keras as keras
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_configs,
    )
    from tf_keras import layers as kinds

qat = tfmot.quantization.keras
EIGHT_BITS = qat.default_8bit.Default8BitQuantizeScheme()
KNOWN = EIGHT_BITS.get_quantize_registry()  # layers tfmot quantizes
OUTPUT_ONLY = default_8bit_quantize_configs.Default8BitOutputQuantizeConfig
BITS = (8, 4)  # of the weights; activations have 8
WEIGHTED = (kinds.Conv2D, kinds.DepthwiseConv2D, kinds.Dense)  # layers that are counted and chosen
ACTIVATIONS = (kinds.ReLU, kinds.Activation)  # layers that belong to the one before
# Their outputs have the quantization steps of their inputs: a quantizer belongs before them.
MOVERS = (kinds.Flatten, kinds.Reshape, kinds.Permute, kinds.Dropout, kinds.ZeroPadding2D)
MOVERS += (kinds.MaxPooling2D,)


def weighted_layers(model: keras.Model) -> list[str]:
    """Names of the layers with a kernel, sorted by longest path from the input; of two equally deep
    ones, the one nearer the output is first: a shortcut before its block's convolutions. Otherwise
    the converter would find a float layer between quantized tensors, and quantize it unasked."""

    @cache
    def longest(layer: keras.layers.Layer, neighbours) -> int:
        return 1 + max((longest(n, neighbours) for n in neighbours(layer)), default=0)

    found = [layer for layer in model.layers if isinstance(layer, WEIGHTED)]
    return [x.name for x in sorted(found, key=lambda x: (longest(x, sources), longest(x, readers)))]


def parameters(model: keras.Model, layers: Sequence[str]) -> dict[str, int]:
    """How many weights the kernel of each of the named layers has."""
    return {name: int(tf.size(model.get_layer(name).weights[0])) for name in layers}


def sources(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers whose output a layer reads."""
    return [p for n in layer.inbound_nodes for p in tf.nest.flatten(n.inbound_layers)]


def readers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers that read a layer's output."""
    return [node.layer for node in layer.outbound_nodes]


def choose(layers: Sequence[str], where: str, k: int) -> list[str]:
    """The last k of `layers`, the first k, or only the k-th, counted from 1; QlabError: too few."""
    least = 1 if where == "only" else 0
    if not least <= k <= len(layers):
        raise QlabError(
            f"The model has {len(layers)} layers with weights, {layers[0]} to {layers[-1]}, so "
            f"'{where} {k}' does not exist; choose {least} to {len(layers)}."
        )
    places = {"last": slice(len(layers) - k, None), "first": slice(k), "only": slice(k - 1, k)}
    return list(layers[places[where]])


def quantized(
    model: keras.Model, layers: Sequence[str], weight_bits: int = 8, leave_float: Sequence[str] = ()
) -> keras.Model:
    """A copy of a functional model in which tfmot quantizes `layers`; not compiled.

    Weights get `weight_bits` of BITS, symmetric, per channel in convolutions and per tensor in
    dense layers; activations get 8 bits, by moving averages of their ranges. Layers in
    `leave_float` keep float weights. QlabError names a layer that tfmot cannot wrap.
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    if not layers:
        return copy
    marked = companions(copy, layers, leave_float)
    only_output = _unknown_before(copy, marked)
    n_bit = qat.experimental.default_n_bit.DefaultNBitQuantizeScheme
    fewer = n_bit(num_bits_weight=weight_bits, num_bits_activation=8)
    scheme = EIGHT_BITS if weight_bits == 8 else fewer

    def mark(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name in only_output:
            return qat.quantize_annotate_layer(layer, OUTPUT_ONLY())
        return qat.quantize_annotate_layer(layer) if layer.name in marked else layer

    try:
        with qat.quantize_scope():
            annotated = keras.models.clone_model(copy, clone_function=mark)
            return qat.quantize_apply(annotated, scheme)
    except (RuntimeError, ValueError) as error:  # not supported, or a failure of tfmot's own
        told = f"{error} To leave a layer float, name it in the parameter 'leave_float'."
        raise QlabError(f"tfmot cannot quantize this model: {told}") from error


def companions(
    model: keras.Model, chosen: Sequence[str], leave_float: Sequence[str] = ()
) -> set[str]:
    """Names of all layers that are quantized if `chosen` are: see the text at the top."""
    marked = set(chosen)
    for layer in map(model.get_layer, chosen):
        last = layer  # and the batch normalization and the activation that alone read it
        for kind in (kinds.BatchNormalization, ACTIVATIONS):
            after = readers(last)
            if len(after) == 1 and isinstance(after[0], kind):
                marked.add((last := after[0]).name)
        while len(before := sources(layer)) == 1 and moves(before[0]):
            marked.add((layer := before[0]).name)
    marked -= set(leave_float)
    for layer in model.layers:  # in the order of execution
        before = sources(layer)
        free = layer.weights or layer.name in leave_float
        if before and not free and all(p.name in marked for p in before):
            marked.add(layer.name)
    return marked


def _unknown_before(model: keras.Model, marked: set[str]) -> set[str]:
    """Names of unmarked layers, of kinds unknown to tfmot, that marked weighted layers read. tfmot
    would leave their outputs float, and with them the layers that read them in the file."""

    def feeding(layer: keras.layers.Layer) -> list[keras.layers.Layer]:  # past what moves values
        return [y for x in sources(layer) for y in (feeding(x) if moves(x) else [x])]

    weighted = [x for x in model.layers if x.name in marked and isinstance(x, WEIGHTED)]
    read = [source for layer in weighted for source in feeding(layer)]
    # tfmot puts a quantizer behind inputs by itself.
    unknown = [x for x in read if not isinstance(x, kinds.InputLayer) and not KNOWN.supports(x)]
    return {x.name for x in unknown} - marked


def moves(layer: keras.layers.Layer) -> bool:
    """Whether a layer is among MOVERS, or an average pooling, whose output has its input's steps in
    TFLite. One over its whole input is excepted: `model.with_means` replaces it, and a raw model is
    to show it as tfmot has it."""
    pools = isinstance(layer, kinds.AveragePooling2D) and layer.output_shape[1:3] != (1, 1)
    return pools or isinstance(layer, MOVERS)


def plain(trained: keras.Model, model: keras.Model) -> keras.Model:
    """The float `model` with the weights of `trained`, which `quantized` made from it."""
    copy = keras.models.clone_model(model)
    by_name = {inner(layer).name: layer for layer in trained.layers}
    for layer in copy.layers:
        found = {part(v): v.numpy() for v in by_name[layer.name].weights}
        layer.set_weights([found[part(v)] for v in layer.weights])
    return copy


def part(variable) -> str:
    """A weight's own name, such as `kernel` or `gamma`."""
    return variable.name.split("/")[-1].split(":")[0]


def inner(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer inside tfmot's wrapper; if it is not wrapped, the layer itself."""
    return layer.layer if isinstance(layer, qat.QuantizeWrapper) else layer
