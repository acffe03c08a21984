"""The steps around a conversion to TFLite: the detector's graph before it, the file after it.

The conversions themselves are in notebook 01, as calls of the libraries.
"""

from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from qlab.core import cache
from qlab.core.errors import QlabError
from qlab.tflite import graph as tflite_graph

OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
SMALL = 1024  # weights; TensorFlow's converter leaves smaller operators float: they save nothing


@lru_cache(maxsize=2)  # every variant starts from it, and loading takes seconds
def load(folder: Path):
    """Load a SavedModel with the TF2 detection zoo's signature. QlabError: none, or another one."""
    from qlab.tflite.tf import tf

    try:
        model = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises many kinds for damaged files
        raise QlabError(f"TensorFlow cannot load the SavedModel at {folder}: {error}") from error
    signature = model.signatures.get("serving_default")
    inputs = signature.structured_input_signature[1] if signature else {}
    outputs = signature.structured_outputs if signature else {}
    found = [(name, image.dtype, image.shape.rank) for name, image in inputs.items()]
    if found != [("input_tensor", tf.uint8, 4)] or set(OUTPUTS) - set(outputs):
        told = [f"'{k}' {v.dtype.name} {list(v.shape)}" for k, v in inputs.items()]
        raise QlabError(
            f"{folder} has not the signature of the TF2 detection zoo: expected one input "
            f"'input_tensor', uint8 [1, H, W, 3], and the outputs {', '.join(OUTPUTS)}; found "
            f"inputs {', '.join(told)} and outputs {', '.join(sorted(outputs))}."
        )
    return model


def own_size(model) -> tuple[int | None, int | None]:
    """Height and width in pixels to which the graph's input is fixed; None where any will do."""
    image = model.signatures["serving_default"].structured_input_signature[1]["input_tensor"]
    return tuple(image.shape[1:3])


def graph(folder: Path, size: tuple[int, int]):
    """The SavedModel as a concrete function from a uint8 image [1, *size, 3] to OUTPUTS."""
    from qlab.tflite.tf import tf

    model = load(folder)
    serve = model.signatures["serving_default"]

    @tf.function(input_signature=[tf.TensorSpec([1, *size, 3], tf.uint8, "input_tensor")])
    def detect(input_tensor):
        found = serve(input_tensor=input_tensor)
        return {name: found[name] for name in OUTPUTS}

    concrete = detect.get_concrete_function()
    concrete.model = model  # keeps the weights alive
    return concrete


def check(content: bytes, kind: str | None, floats: Collection[str] = ()) -> bytes:
    """Return a .tflite's content if its recipe, which says nothing where it does not fit a graph,
    did what was asked. Weights (SMALL or more) must have the type `kind`, such as INT8; `floats`,
    by their output tensors, must be float; without a `kind`, all weights but one may be float."""
    found, types = tflite_graph.weight_types(content), tflite_graph.tensor_types(content)
    for name in (n for n in floats if types.get(n) in ("INT8", "INT16")):
        raise QlabError(f"{name} should be float and is {types[name]}: the rule misses it.")
    if kind is None and {one for one, _ in found.values()} == {"FLOAT32"}:
        raise QlabError("The recipe quantized nothing here, and said nothing.")
    large = {n: one for n, (one, count) in found.items() if count >= SMALL and n not in floats}
    if kind and (wrong := [f"{n} with {one}" for n, one in large.items() if one != kind]):
        raise QlabError(
            f"Weights should be {kind}, but {len(wrong)} of {len(found)} operators have others, "
            f"first {wrong[0]}: the recipe does not do here what its name says."
        )
    return content


def keep(folder: Path, variant: str, content: bytes) -> Path:
    """Write a variant's .tflite, whole or not at all, to `folder/<variant>.tflite`."""
    with cache.written_whole(folder / f"{variant}.tflite") as part:
        part.write_bytes(content)
    return folder / f"{variant}.tflite"


def fully_connected(float_file: Path) -> bytes:
    """The .tflite with each 1x1 CONV_2D of stride 1 as the FULLY_CONNECTED that it is at every
    pixel: ai-edge-quantizer has its methods for few bits only for these. Grouped ones stay, and so
    do those whose weights are also read by one that stays."""
    from ai_edge_litert import schema_py_generated as schema

    model, kinds = tflite_graph.read(float_file), schema.BuiltinOperator.FULLY_CONNECTED
    main, layers = model.subgraphs[0], []
    for operator in main.operators:
        if tflite_graph.kind(model, operator) == "CONV_2D":
            image, weights = (main.tensors[i].shape for i in operator.inputs[:2])
            how = operator.builtinOptions
            if [*weights[1:], how.strideH, how.strideW] == [1, 1, image[3], 1, 1]:
                layers.append(operator)
    read = Counter(int(i) for o in main.operators for i in o.inputs)
    taken = Counter(int(o.inputs[1]) for o in layers)
    for operator in (o for o in layers if taken[o.inputs[1]] == read[o.inputs[1]]):
        weights, fused = main.tensors[operator.inputs[1]], operator.builtinOptions
        how = {"keepNumDims": True, "fusedActivationFunction": fused.fusedActivationFunction}
        operator.builtinOptions = schema.FullyConnectedOptionsT(**how)
        operator.opcodeIndex = len(model.operatorCodes)
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        weights.shape, weights.shapeSignature = weights.shape[[0, -1]], None
    code = schema.OperatorCodeT(deprecatedBuiltinCode=kinds, builtinCode=kinds, version=5)
    model.operatorCodes.append(code)
    return tflite_graph.packed(model)
