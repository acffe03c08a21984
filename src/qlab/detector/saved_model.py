"""Detectors as SavedModels with the signature of the TF2 detection zoo."""

from functools import lru_cache
from pathlib import Path

from qlab.core.errors import QlabError
from qlab.core.tf import tf

# Of the zoo's signature.
OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


@lru_cache(maxsize=2)  # every variant starts from it, and loading takes seconds
def load(folder: Path):
    """Load a SavedModel and check that it speaks the zoo's signature.

    In: `input_tensor`, uint8 [1, H, W, 3]; out: at least OUTPUTS. Returns the
    loaded object, whose `signatures["serving_default"]` runs it.
    QlabError: no such folder, no SavedModel, another signature.
    """
    if not folder.is_dir():
        raise QlabError(f"There is no model folder at {folder}; expected a SavedModel folder.")
    if not (folder / "saved_model.pb").is_file():
        raise QlabError(f"{folder} is no SavedModel: it has no saved_model.pb.")
    try:
        model = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises many kinds for damaged files
        raise QlabError(f"TensorFlow cannot load the SavedModel at {folder}: {error}") from error
    signature = model.signatures.get("serving_default")
    inputs = signature.structured_input_signature[1] if signature else {}
    outputs = signature.structured_outputs if signature else {}
    found = f"found inputs {_spell(inputs)} and outputs {', '.join(sorted(outputs)) or 'none'}"
    image = inputs.get("input_tensor")
    if len(inputs) != 1 or image is None or image.dtype != tf.uint8 or image.shape.rank != 4:
        raise QlabError(
            f"{folder} has another signature than the TF2 detection zoo's: expected one input "
            f"'input_tensor', uint8 [1, H, W, 3]; {found}."
        )
    if missing := [name for name in OUTPUTS if name not in outputs]:
        raise QlabError(f"{folder} lacks the zoo output '{missing[0]}'; {found}.")
    return model


def _spell(inputs: dict) -> str:
    return ", ".join(f"'{k}' {v.dtype.name} {list(v.shape)}" for k, v in inputs.items()) or "none"


def own_size(model) -> int | None:
    """Side in pixels of the square input the graph is fixed to, or None when any size goes."""
    image = model.signatures["serving_default"].structured_input_signature[1]["input_tensor"]
    height, width = image.shape[1:3]
    return int(height) if height and height == width else None


def with_size(model, size: int):
    """The serving signature with its input fixed to uint8 [1, size, size, 3]."""
    serve = model.signatures["serving_default"]

    @tf.function(input_signature=[tf.TensorSpec((1, size, size, 3), tf.uint8, "input_tensor")])
    def detect(input_tensor):
        found = serve(input_tensor=input_tensor)
        return {name: found[name] for name in OUTPUTS}

    return detect.get_concrete_function()
