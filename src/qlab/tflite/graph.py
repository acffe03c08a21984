"""What is inside a .tflite: operators, weights, and the part that only decodes."""

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

SIGNATURE = "serving_default"  # name in TFLite files made from SavedModels
WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"}  # operators


@dataclass(frozen=True)
class Operator:
    """One operator: its kind and the names of the tensors it reads and writes."""

    kind: str
    inputs: tuple[str, ...]  # names of tensors
    outputs: tuple[str, ...]  # names of tensors

    @property
    def rule(self) -> str:
        """A pattern that matches only this operator in a recipe of ai-edge-quantizer, which
        identifies an operator by all its outputs, each followed by a semicolon."""
        return f"^{re.escape(''.join(f'{name};' for name in self.outputs))}$"


def read(source: Path | bytes):
    """A .tflite, or its bytes, as the schema's mutable object tree, with all constants in it."""
    content = source if isinstance(source, bytes) else source.read_bytes()
    model = schema.ModelT.InitFromPackedBuf(content, 0)  # flatbuffer_utils renumbers buffers
    for buffer in model.buffers:
        if buffer.offset > 1:  # ai-edge-quantizer keeps constants behind the flatbuffer
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def packed(model) -> bytes:
    """The flatbuffer of an object tree that `read` returned."""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def kind(model, operator) -> str:
    """The operator's name, such as CONV_2D; for a custom operator, its own name."""
    own = model.operatorCodes[operator.opcodeIndex].customCode
    return own.decode() if own else flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)


def type_of(tensor) -> str:
    """A tensor's data type, such as FLOAT32."""
    return flatbuffer_utils.type_to_name(tensor.type)


def _names(model, places) -> tuple[str, ...]:
    return tuple(model.subgraphs[0].tensors[i].name.decode() for i in places if i >= 0)


def output(model, operator) -> str:
    """The name of the first tensor that an operator of the main graph writes."""
    return _names(model, operator.outputs)[0]


def operators(file: Path) -> list[Operator]:
    """The operators of the main graph, in order of execution."""
    every = (model := read(file)).subgraphs[0].operators
    return [
        Operator(kind(model, o), _names(model, o.inputs), _names(model, o.outputs)) for o in every
    ]


def _tensors(source: Path | bytes) -> dict[str, Any]:
    return {t.name.decode(): t for t in read(source).subgraphs[0].tensors}


def tensor_types(source: Path | bytes) -> dict[str, str]:
    """The data type, such as FLOAT32, of each tensor of the main graph, by name."""
    return {name: type_of(tensor) for name, tensor in _tensors(source).items()}


def tensor_scales(source: Path | bytes) -> dict[str, float]:
    """The scale, by name, of each activation of the main graph that is held in integers."""
    known = {n: t.quantization.scale for n, t in _tensors(source).items() if t.quantization}
    return {n: float(s[0]) for n, s in known.items() if s is not None and len(s) == 1}


def _held(model, tensor) -> int:
    """Bytes that the file holds for a tensor; 0 if it is no constant."""
    data = model.buffers[tensor.buffer].data
    return 0 if data is None else len(data)


def constants(file: Path) -> set[str]:
    """Names of the main graph's tensors whose values the file holds."""
    model = read(file)
    return {t.name.decode() for t in model.subgraphs[0].tensors if _held(model, t)}


def weight_types(content: bytes) -> dict[str, tuple[str, int]]:
    """For each operator with weights, by its output tensor: the data type of the weights in the
    file (before a DEQUANTIZE unpacks them), and their number."""
    main, found = (model := read(content)).subgraphs[0], {}
    unpacked = {o.outputs[0]: o.inputs[0] for o in main.operators if kind(model, o) == "DEQUANTIZE"}
    for operator in main.operators:
        if kind(model, operator) in WEIGHTED:
            place = operator.inputs[1]
            weights = main.tensors[unpacked.get(place, place)]
            found[output(model, operator)] = type_of(weights), int(np.prod(weights.shape))
    return found


def decoding(file: Path) -> list[str]:
    """Output tensors of the operators after which no weights come: scores, peaks, boxes, NMS."""
    needed, after = set(), []
    for operator in reversed(operators(file)):
        if operator.kind in WEIGHTED or needed & set(operator.outputs):
            needed |= set(operator.inputs)
        else:
            after += operator.outputs
    return after[::-1]


def ends(file: Path) -> list[str]:
    """Where the network ends: tensors that `decoding` or the caller reads, such as class scores."""
    model, every, after = read(file), operators(file), set(decoding(file))
    inside = {name for o in every for name in o.outputs} - after
    read_there = [n for o in every if set(o.outputs) & after for n in o.inputs]
    read_there += _names(model, model.subgraphs[0].outputs)
    return [name for name in dict.fromkeys(read_there) if name in inside]


def own(model, operator, place: int):
    """Input `place` of an operator; the tensor, or its buffer, is copied if others use it, too."""
    tensors, index = model.subgraphs[0].tensors, int(operator.inputs[place])
    if sum(index in o.inputs for o in model.subgraphs[0].operators) > 1:
        tensors.append(copy.deepcopy(tensors[index]))
        operator.inputs = np.array(operator.inputs, np.int32)
        operator.inputs[place] = index = len(tensors) - 1
    made = tensors[index]
    if sum(t.buffer == made.buffer for graph in model.subgraphs for t in graph.tensors) > 1:
        model.buffers.append(copy.copy(model.buffers[made.buffer]))
        made.buffer = len(model.buffers) - 1
    return made


def single_operator(model, index: int) -> bytes:
    """A .tflite that runs only operator `index` of the main graph; `model` is not changed."""
    alone, main = copy.copy(model), copy.copy(model.subgraphs[0])
    operator = main.operators[index]
    used = {int(i) for i in [*operator.inputs, *operator.outputs]}
    main.tensors = [t if i in used else type(t)() for i, t in enumerate(main.tensors)]
    main.inputs = [i for i in operator.inputs if i >= 0 and not _held(model, main.tensors[i])]
    main.outputs, main.operators = operator.outputs, [operator]
    kept = {tensor.buffer for tensor in main.tensors}
    alone.subgraphs, alone.signatureDefs, alone.metadata = [main], [], []
    alone.buffers = [b if i in kept else type(b)() for i, b in enumerate(model.buffers)]
    return packed(alone)


def widened(file: Path) -> bytes:
    """The content of a .tflite with every INT4 constant as INT8, codes and scales unchanged.
    LiteRT's CPU kernels for 4-bit weights are 10 to 40 times slower than those for 8."""
    model = read(file)
    for tensor in model.subgraphs[0].tensors:
        if tensor.type == schema.TensorType.INT4:
            buffer = model.buffers[tensor.buffer]
            # A byte holds two integers, -8..7, the first in the low half.
            halves = np.stack([buffer.data & 15, buffer.data >> 4], 1).ravel().astype(np.int8)
            codes = np.where(halves > 7, halves - 16, halves)[: int(np.prod(tensor.shape))]
            buffer.data, tensor.type = codes.view(np.uint8), schema.TensorType.INT8
    return packed(model)
