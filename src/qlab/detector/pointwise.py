"""A 1x1 convolution is a fully connected layer at every pixel, and is written as one here.

ai-edge-quantizer has its methods for few bits (GPTQ, blocks, Hadamard rotation) for fully connected
layers alone. The file computes the same: same weights, same sums.
"""

from collections import Counter
from pathlib import Path

from qlab.core import tflite_graph


def fully_connected(float_file: Path) -> bytes:
    """The .tflite with each 1x1 CONV_2D of stride 1 as a FULLY_CONNECTED that keeps dimensions.

    Grouped ones stay, and those whose weights an operator that stays reads too.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = tflite_graph.read(float_file)
    main, added = model.subgraphs[0], len(model.operatorCodes)
    kinds = schema.BuiltinOperator.FULLY_CONNECTED
    code = schema.OperatorCodeT(deprecatedBuiltinCode=kinds, builtinCode=kinds, version=5)
    fit = [o for o in main.operators if _fits(model, o)]
    read = Counter(int(i) for o in main.operators for i in o.inputs)
    taken = Counter(int(o.inputs[1]) for o in fit)
    for operator in fit:
        place = int(operator.inputs[1])
        weights, old = main.tensors[place], operator.builtinOptions
        if taken[place] < read[place]:  # another reader wants the weights as they are
            continue
        new = schema.FullyConnectedOptionsT(keepNumDims=True)
        new.fusedActivationFunction = old.fusedActivationFunction
        operator.builtinOptions, operator.opcodeIndex = new, added
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        weights.shape, weights.shapeSignature = weights.shape[[0, -1]], None
    model.operatorCodes.append(code)
    return tflite_graph.packed(model)


def _fits(model, operator) -> bool:
    """Whether an operator is a 1x1 CONV_2D of stride 1 in one group."""
    if tflite_graph.kind(model, operator) != "CONV_2D":
        return False
    image, weights = (model.subgraphs[0].tensors[i].shape for i in operator.inputs[:2])
    old = operator.builtinOptions
    one = [*weights[1:3], old.strideH, old.strideW] == [1, 1, 1, 1]
    return one and weights[3] == image[3]
