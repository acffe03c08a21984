"""What surrounds a conversion to TFLite: the detector's graph before it, the file after it.

The conversions themselves stand in notebook 01, in the libraries' own words.
"""

from collections.abc import Collection, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from qlab.core import tflite_graph
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError

# Of the zoo's signature.
OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
SMALL = (
    1024  # weights of an operator that TensorFlow's converter leaves float, for they save nothing
)


@lru_cache(maxsize=2)  # every variant starts from it, and loading takes seconds
def load(folder: Path):
    """Load a SavedModel and check that it speaks the signature of the TF2 detection zoo.

    In: `input_tensor`, uint8 [1, H, W, 3]; out: at least OUTPUTS.
    QlabError: no SavedModel, or another signature.
    """
    from qlab.core.tf import tf

    if not (folder / "saved_model.pb").is_file():
        raise QlabError(f"There is no SavedModel at {folder}: no saved_model.pb.")
    try:
        model = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises many kinds for damaged files
        raise QlabError(f"TensorFlow cannot load the SavedModel at {folder}: {error}") from error
    signature = model.signatures.get("serving_default")
    inputs = signature.structured_input_signature[1] if signature else {}
    outputs = signature.structured_outputs if signature else {}
    image = inputs.get("input_tensor")
    fits = image is not None and image.dtype == tf.uint8 and image.shape.rank == 4
    if len(inputs) != 1 or not fits or set(OUTPUTS) - set(outputs):
        told = ", ".join(f"'{k}' {v.dtype.name} {list(v.shape)}" for k, v in inputs.items())
        raise QlabError(
            f"{folder} has not the signature of the TF2 detection zoo: expected one input "
            f"'input_tensor', uint8 [1, H, W, 3], and the outputs {', '.join(OUTPUTS)}; found "
            f"inputs {told or 'none'} and outputs {', '.join(sorted(outputs)) or 'none'}."
        )
    return model


def own_size(model) -> tuple[int | None, int | None]:
    """Height and width in pixels that the graph's input is fixed to; None where any goes."""
    image = model.signatures["serving_default"].structured_input_signature[1]["input_tensor"]
    return tuple(image.shape[1:3])


def graph(folder: Path, size: tuple[int, int]):
    """The SavedModel's network as a concrete function of one uint8 image [1, *size, 3].

    It answers with OUTPUTS; `graph.model` keeps its weights alive.
    """
    from qlab.core.tf import tf

    model = load(folder)
    serve = model.signatures["serving_default"]

    @tf.function(input_signature=[tf.TensorSpec([1, *size, 3], tf.uint8, "input_tensor")])
    def detect(input_tensor):
        found = serve(input_tensor=input_tensor)
        return {name: found[name] for name in OUTPUTS}

    concrete = detect.get_concrete_function()
    concrete.model = model
    return concrete


def calibration_samples(images: Iterable[np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Calibration images (uint8 [*size, 3]) as inputs of the signature; QlabError: none."""
    samples = [{"input_tensor": image[None]} for image in images]
    if not samples:
        raise QlabError(
            "The calibration set is empty; static quantization learns ranges from it. Give at "
            "least one image with calibration_limit and calibration_images."
        )
    return samples


def check(
    content: bytes, kind: str | None, floats: Collection[str] = (), others: Collection[str] = ()
) -> bytes:
    """The content of a .tflite, if its weights have the type `kind`, such as INT8.

    Recipes that do not fit a graph quantize nothing and say nothing: what one did is read back.
    `floats`, by their output tensors, must be float; `others`, and operators of fewer than SMALL
    weights, may have weights of any type; with None as kind, all but one may be float.
    QlabError: operators that are not so.
    """
    found, types = tflite_graph.weight_types(content), tflite_graph.types(content)
    for name in (n for n in floats if types.get(n) in ("INT8", "INT16")):
        raise QlabError(f"{name} should be float and is {types[name]}: the rule misses it.")
    if kind is None and {one for one, _ in found.values()} == {"FLOAT32"}:
        raise QlabError("The recipe quantized nothing here, and said nothing.")
    if kind is None:
        return content
    spared = {*floats, *others, *(name for name, (_, count) in found.items() if count < SMALL)}
    wrong = {n: one for n, (one, _) in found.items() if one != kind and n not in spared}
    if wrong:
        name, one = next(iter(wrong.items()))
        raise QlabError(
            f"Weights should be {kind}, but {len(wrong)} of {len(found)} operators have others, "
            f"first {name} with {one}: the recipe does not do here what its name says."
        )
    return content


def keep(folder: Path, variant: str, content: bytes) -> Path:
    """Write a variant's .tflite, whole or not at all, to `folder/<variant>.tflite`."""
    with written_whole(folder / f"{variant}.tflite") as part:
        part.write_bytes(content)
    return folder / f"{variant}.tflite"
