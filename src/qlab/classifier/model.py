"""Classifiers from Keras 2 files, rebuilt from their description without running their code.

A model file can carry code: a Lambda layer's bytecode, a call of any TensorFlow function, a
SavedModel's graph, a module to be imported. (Keras' `safe_mode` covers only Keras 3's archives.) So
a file gives only weights and the description of its layers, which must be Keras' own.
"""

import json
from functools import partial
from pathlib import Path

import h5py

from qlab.core.errors import QlabError
from qlab.tflite.keras import keras

layers = keras.layers
# They run code, or read files, that the model's file names.
_REFUSED = {"Lambda", "TFSMLayer", "StringLookup", "IntegerLookup", "TextVectorization"}
_HOMES = ("layers", "initializers", "regularizers", "constraints")
_OWN = {"Functional", "Sequential", "Model", "Policy", "TensorShape", "__tuple__"} | {
    name
    for home in _HOMES
    for name, kind in vars(getattr(keras, home)).items()
    if isinstance(kind, type) and name not in _REFUSED
}
_CALLS = {"TFOpLambda", "SlicingOpLambda"}  # a TensorFlow function in a functional model, by name
_HARMLESS = ("math.", "nn.", "__operators__.", "cast", "concat", "reshape", "compat.v1.transpose")


def load(path: Path | str, raw: bool = False) -> keras.Model:
    """Load a classifier from a Keras 2 .h5 file or SavedModel folder; it is not compiled.

    Input: images [n, h, w, 1 or 3], preprocessed by the model itself. Output: [n, classes]. Unless
    `raw`, see `with_means`. QlabError: nothing there, no description of layers (Keras 3, only
    weights), code of its own (Lambda, custom layers), a damaged file, other inputs or outputs.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise QlabError(
            f"There is no model at {path}; expected a Keras 2 .h5 file or a SavedModel folder."
        )
    try:
        config = _described(path)
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise QlabError(
            f"{path} holds no functional or sequential model of Keras 2 ({error}): it is damaged, "
            "of Keras 3, or holds weights alone. Save the whole model with Keras 2: "
            "TF_USE_LEGACY_KERAS=1, import tf_keras, model.save('model.h5')."
        ) from error
    config = json.loads(json.dumps(config), object_hook=partial(_checked, path=path))
    try:
        model = keras.models.model_from_json(json.dumps(config))
        model.load_weights(path)
        if isinstance(model, keras.Sequential):
            model = keras.Model(model.inputs, model.outputs, name=model.name)
    except Exception as error:  # Keras raises many kinds for damaged files
        raise QlabError(f"Keras cannot rebuild the model in {path}: {error}") from error
    if inner := [x.name for x in model.layers if isinstance(x, keras.Model)]:
        raise QlabError(
            f"{path}: the layer '{inner[0]}' is a model of its own. Build it on your input (Keras' "
            "applications take `input_tensor`), so that its layers can be chosen, and save again."
        )
    inputs, outputs = ([list(t.shape) for t in ends] for ends in (model.inputs, model.outputs))
    fits = len(inputs) == len(outputs) == 1 and len(inputs[0]) == 4 and len(outputs[0]) == 2
    if not fits or inputs[0][3] not in (1, 3) or (outputs[0][1] or 0) < 2:
        raise QlabError(
            f"{path} is no image classifier: expected one input [n, height, width, 1 or 3] and one "
            f"output [n, classes], 2 classes or more; found inputs {inputs} and outputs {outputs}."
        )
    return model if raw else with_means(model)


def with_means(model: keras.Model) -> keras.Model:
    """Return the same function; poolings over their whole input become means of the same name.

    In TFLite an average pooling's output has the quantization steps of its input. So a quantizer
    behind one is moved before it, where it clips what exceeds the largest mean; and the sum before
    it, whose largest value is many times the largest mean, makes the pooling's steps as coarse. A
    mean has steps of its own (https://ai.google.dev/edge/litert/models/quantization_spec).
    """

    def mended(layer: keras.layers.Layer) -> keras.layers.Layer:
        if pools_all(layer):
            return layers.GlobalAveragePooling2D(keepdims=True, name=layer.name)
        return type(layer).from_config(layer.get_config())

    if not any(map(pools_all, model.layers)):
        return model
    copy = keras.models.clone_model(model, clone_function=mended)
    copy.set_weights(model.get_weights())
    return copy


def pools_all(layer: keras.layers.Layer) -> bool:
    """Whether a layer is an average pooling over its whole input."""
    averages = isinstance(layer, layers.AveragePooling2D) and layer.output_shape[1:3] == (1, 1)
    return averages and layer.pool_size == layer.input_shape[1:3]


def _described(path: Path) -> dict:
    """Read the description in an .h5 file, or in a SavedModel, whose graph is not loaded."""
    if path.is_dir():
        from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

        nodes = SavedMetadata.FromString((path / "keras_metadata.pb").read_bytes()).nodes
        root = json.loads(next(node.metadata for node in nodes if node.node_path == "root"))
        return {key: root[key] for key in ("class_name", "config")}
    with h5py.File(path) as file:
        if str(version := file.attrs.get("keras_version", "")).startswith("3"):
            raise ValueError(f"saved by Keras {version}")
        return json.loads(file.attrs["model_config"])


def _checked(part: dict, path: Path) -> dict:
    """Check a part of a description: the model, a layer, one inside another, an initializer.

    QlabError: it is not Keras' own, or names code to import or to call. What is returned lacks
    `optional: false`, a default that tf-keras 2.20 does not know yet.
    """
    if "class_name" in part:
        kind, inner = part["class_name"], part.get("config")
        settings = inner if isinstance(inner, dict) else {}
        called = str(settings.get("function")) if kind in _CALLS else ""
        what = f"calls tf.{called}" if called else f"is a {kind}"
        own = kind in _OWN or called.startswith(_HARMLESS)
        if part.get("module") and part["module"] not in [f"keras.{home}" for home in _HOMES]:
            what, own = f"names the Python module '{part['module']}'", False
        if not own:
            name = part.get("name") or settings.get("name") or "without a name"
            raise QlabError(
                f"{path}: the layer '{name}' {what}, not one of Keras' own layers; code from a "
                "model file is never run. Use Keras' own (Rescaling to preprocess) and save the "
                "model again."
            )
    return {key: value for key, value in part.items() if (key, value) != ("optional", False)}
