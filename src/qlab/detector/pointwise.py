"""A 1x1 convolution is a fully connected layer at every pixel, and is written as one here.

ai-edge-quantizer has its methods for few bits (GPTQ, blocks, Hadamard rotation) for fully connected
layers alone. The file computes the same: same weights, same sums.
"""

from pathlib import Path

import numpy as np

from qlab.core import tflite_graph


def fully_connected(float_file: Path) -> bytes:
    """The .tflite with each 1x1 CONV_2D of stride 1 as a FULLY_CONNECTED that keeps dimensions."""
    from ai_edge_litert import schema_py_generated as schema

    model = tflite_graph.read(float_file)
    main, place = model.subgraphs[0], len(model.operatorCodes)
    kinds = schema.BuiltinOperator.FULLY_CONNECTED
    code = schema.OperatorCodeT(deprecatedBuiltinCode=kinds, builtinCode=kinds, version=5)
    for operator in main.operators:
        if tflite_graph.kind(model, operator) != "CONV_2D":
            continue
        weights, old = main.tensors[operator.inputs[1]], operator.builtinOptions
        if [*weights.shape[1:3], old.strideH, old.strideW] != [1, 1, 1, 1]:
            continue
        new = schema.FullyConnectedOptionsT(keepNumDims=True)
        new.fusedActivationFunction = old.fusedActivationFunction
        operator.builtinOptions, operator.opcodeIndex = new, place
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        weights.shape = np.array([weights.shape[0], weights.shape[3]], np.int32)
        weights.shapeSignature = None
    model.operatorCodes.append(code)
    return tflite_graph.packed(model)
