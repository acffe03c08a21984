"""What is inside a .tflite: operators, weights, and the part that only decodes."""

import copy
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

SIGNATURE = "serving_default"  # that TFLite files of SavedModels have
# Operators with weights.
WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"}


@dataclass(frozen=True)
class Operator:
    """One operator: its kind and the names of the tensors it reads and writes."""

    kind: str
    inputs: tuple[str, ...]  # names of tensors
    outputs: tuple[str, ...]  # names of tensors


def read(file: Path):
    """The flatbuffer as the schema's mutable object tree, all constants in it."""
    from ai_edge_litert import schema_py_generated as schema

    content = file.read_bytes()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:  # ai-edge-quantizer keeps constants behind the flatbuffer
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def packed(model) -> bytes:
    """The flatbuffer of an object tree from `read`."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@lru_cache
def _names(enum: str) -> dict[int, str]:
    """Names of one of the schema's enumerations, by number."""
    from ai_edge_litert import schema_py_generated as schema

    return {v: k for k, v in vars(getattr(schema, enum)).items() if not k.startswith("_")}


def kind(model, operator) -> str:
    """The operator's name, such as CONV_2D; a custom operator's own name."""
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return code.customCode.decode()
    # Files from old converters keep the code in the deprecated field.
    return _names("BuiltinOperator")[max(code.builtinCode, code.deprecatedBuiltinCode)]


def operators(file: Path) -> list[Operator]:
    """The operators of the main graph in the order of execution."""
    model = read(file)
    main = model.subgraphs[0]
    names = [t.name.decode() for t in main.tensors]
    return [
        Operator(
            kind(model, o),
            tuple(names[i] for i in o.inputs if i >= 0),
            tuple(names[i] for i in o.outputs),
        )
        for o in main.operators
    ]


def tensor_types(file: Path) -> dict[str, str]:
    """The data type of each tensor of the main graph by name, such as FLOAT32."""
    types = _names("TensorType")
    return {t.name.decode(): types[t.type] for t in read(file).subgraphs[0].tensors}


def tensor_scales(file: Path) -> dict[str, float]:
    """The scale of each activation of the main graph that is held in integers, by name."""
    known = {t.name.decode(): t.quantization for t in read(file).subgraphs[0].tensors}
    scales = {n: q.scale for n, q in known.items() if q is not None and q.scale is not None}
    return {name: float(scale[0]) for name, scale in scales.items() if len(scale) == 1}


def type_code(name: str) -> int:
    """The schema's number of a data type, such as INT4."""
    return next(code for code, known in _names("TensorType").items() if known == name)


def constants(file: Path) -> set[str]:
    """Names of the main graph's tensors whose values the file holds."""
    model = read(file)
    return {t.name.decode() for t in model.subgraphs[0].tensors if _is_constant(model, t)}


def signature_inputs(file: Path) -> list[str]:
    """Names of the inputs as the file's first signature calls them."""
    [signature, *_] = read(file).signatureDefs
    return [entry.name.decode() for entry in signature.inputs]


def decoding(file: Path) -> list[str]:
    """Output tensors of the operators after which no weights come: scores, peaks, boxes, NMS.

    This part turns the network's maps into boxes. It costs next to no time and
    eight bits are too few for coordinates and for comparing scores.
    """
    needed: set[str] = set()
    after: list[str] = []
    for operator in reversed(operators(file)):
        if operator.kind in WEIGHTED or needed & set(operator.outputs):
            needed |= set(operator.inputs)
        else:
            after += operator.outputs
    return after[::-1]


def weight_bytes(file: Path) -> dict[str, int]:
    """Bytes of constant tensors by data type, such as {"INT8": 900000, "FLOAT32": 3000}."""
    model, total = read(file), Counter()
    for tensor in model.subgraphs[0].tensors:
        if _is_constant(model, tensor):
            total[_names("TensorType")[tensor.type]] += len(model.buffers[tensor.buffer].data)
    return dict(total)


def _is_constant(model, tensor) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def single_operator(model, index: int) -> bytes:
    """A .tflite that runs operator `index` of the main graph alone.

    Its constants stay constants, its other inputs become the file's inputs.
    `model` is a tree from `read`; it is not changed.
    """
    whole = model.subgraphs[0]
    operator = copy.copy(whole.operators[index])
    used = sorted({int(i) for i in [*operator.inputs, *operator.outputs] if i >= 0})
    place = {-1: -1, **{old: new for new, old in enumerate(used)}}  # -1: an optional input, absent
    variable = [i for i in operator.inputs if i >= 0 and not _is_constant(model, whole.tensors[i])]
    operator.inputs = np.array([place[i] for i in operator.inputs], np.int32)
    operator.outputs = np.array([place[i] for i in operator.outputs], np.int32)
    main = copy.copy(whole)
    main.inputs = np.array([place[i] for i in variable], np.int32)
    main.outputs, main.operators = operator.outputs, [operator]
    main.tensors = [whole.tensors[i] for i in used]
    kept = {tensor.buffer for tensor in main.tensors}
    alone = copy.copy(model)
    alone.subgraphs, alone.signatureDefs, alone.metadata = [main], [], []
    alone.buffers = [b if i in kept else type(b)() for i, b in enumerate(model.buffers)]
    return packed(alone)
