"""Post-training quantization of a detector with TFLite, variant by variant.

The first three variants are the report's, made by TensorFlow's converter. The
others start from the float32 file and are made by ai-edge-quantizer (the
LiteRT project's own), because its recipes can leave named parts float. Every
file is an artefact with its recipe beside it.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from qlab.core import quiet, tflite_graph
from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.errors import QlabError
from qlab.core.litert import quiet_quantizer
from qlab.detector import unsupported

CONVERTED = ("fp32", "fp16", "int8_dynamic")  # by TensorFlow's converter
# By ai-edge-quantizer, with the recipe of this name there.
RECIPES = {
    "int8_dynamic_deconv_fp32": "dynamic_wi8_afp32",
    "int8_static": "static_wi8_ai8",
    "int8_selective": "static_wi8_ai8",
    "int16x8": "static_wi8_ai16",
}
VARIANTS = (*CONVERTED, *RECIPES)  # of notebook 01
CALIBRATED = ("int8_static", "int8_selective", "int16x8")  # those that need images
# An operator whose noise has more than a tenth of its signal's power stays float in int8_selective.
SNR_FLOOR_DB = 10.0
# Of the zoo's signature.
OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
Samples = list[dict[str, np.ndarray]]  # inputs of the serving signature


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


def convert(model_folder: Path, variant: str, size: tuple[int, int]) -> Path:
    """The report's variants: SavedModel -> .tflite by `tf.lite.TFLiteConverter`.

    `size` is the input's height and width in pixels: uint8 [1, *size, 3].
    """
    recipe = {
        "engine": "tf.lite.TFLiteConverter",
        "variant": variant,
        "optimizations": [] if variant == "fp32" else ["DEFAULT"],
        "supported_types": ["float16"] if variant == "fp16" else [],
        "input": [1, *size, 3],
        "saved_model": file_sha256(model_folder),
        "code": code_sha256(__name__),
        "versions": versions("tensorflow"),
    }

    def make(file: Path) -> None:
        from qlab.core.tf import tf

        model = load(model_folder)
        serve = model.signatures["serving_default"]

        @tf.function(input_signature=[tf.TensorSpec(recipe["input"], tf.uint8, "input_tensor")])
        def detect(input_tensor):
            found = serve(input_tensor=input_tensor)
            return {name: found[name] for name in OUTPUTS}

        graph = detect.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], model)
        converter.optimizations = [tf.lite.Optimize[name] for name in recipe["optimizations"]]
        converter.target_spec.supported_types = [tf.as_dtype(t) for t in recipe["supported_types"]]
        with quiet.quiet():
            file.write_bytes(unsupported.converted(converter))

    name = f"{variant}.tflite"
    return artefact("tflite", recipe, lambda folder: make(folder / name)) / name


def calibration_samples(images: Iterable[np.ndarray]) -> Samples:
    """Calibration images (uint8 [*size, 3]) as inputs of the signature; QlabError: none."""
    samples = [{"input_tensor": image[None]} for image in images]
    if not samples:
        raise QlabError(
            "The calibration set is empty; static quantization learns ranges from it. Give at "
            "least one image with calibration_limit and calibration_images."
        )
    return samples


def _sha256(samples: Samples) -> str:
    return hashlib.sha256(b"".join(s["input_tensor"].tobytes() for s in samples)).hexdigest()


def quantize(float_file: Path, variant: str, samples: Samples | None, threads: int = 2) -> Path:
    """A quantized .tflite from the float32 one, by ai-edge-quantizer; `samples` calibrate it."""
    calibrated = samples if variant in CALIBRATED else []
    floats = float_operators(float_file, variant, samples, threads)
    recipe = {
        "engine": "ai-edge-quantizer",
        "variant": variant,
        "float_file": file_sha256(float_file),
        "operators_left_float": floats,
        "snr_floor_db": SNR_FLOOR_DB if variant == "int8_selective" else None,
        "code": code_sha256(__name__),
        "calibration": _sha256(calibrated) if calibrated else None,
        "calibration_images": len(calibrated),
        "versions": versions("ai-edge-quantizer", "ai-edge-litert"),
    }

    def make(folder: Path) -> None:
        quantizer = _quantizer(float_file, variant, floats)
        with quiet_quantizer():
            data = {tflite_graph.SIGNATURE: samples}
            calibrates = quantizer.need_calibration
            ranges = quantizer.calibrate(data, num_threads=threads) if calibrates else None
            content = quantizer.quantize(ranges).quantized_model
        (folder / f"{variant}.tflite").write_bytes(content)
        rules = quantizer.get_quantization_recipe()
        (folder / "quantizer_recipe.json").write_text(json.dumps(rules, indent=2, default=str))

    return artefact("tflite", recipe, make) / f"{variant}.tflite"


def _quantizer(float_file: Path, variant: str, floats: list[str]):
    from ai_edge_quantizer import qtyping, quantizer, recipe

    made = quantizer.Quantizer(str(float_file))
    made.load_quantization_recipe(getattr(recipe, RECIPES[variant])())
    kind = qtyping.TFLOperationName
    # Without this the interface itself turns int8 and boxes arrive as codes.
    for end in (kind.INPUT, kind.OUTPUT):
        made.update_quantization_recipe(".*", end, algorithm_key="no_quantize")
    for name in floats:
        exactly = f"^{re.escape(name)};?$"
        made.update_quantization_recipe(exactly, kind.ALL_SUPPORTED, algorithm_key="no_quantize")
    return made


def float_operators(float_file: Path, variant: str, samples: Samples, threads: int) -> list[str]:
    """Operators (by output tensor) that a variant leaves float, in the order of execution.

    For int8_selective, those that decode boxes and those whose output falls below SNR_FLOOR_DB in
    int8_static. The noise is that of the whole path: one may be listed for what came in.
    """
    operators = tflite_graph.operators(float_file)
    if variant != "int8_selective":
        kept = "TRANSPOSE_CONV" if variant == "int8_dynamic_deconv_fp32" else None
        return [o.outputs[0] for o in operators if o.kind == kept]
    static = quantize(float_file, "int8_static", samples, threads)
    snr = tensor_snr(float_file, static, samples[:8], threads)
    noisy = [o.outputs[0] for o in operators if snr.get(o.outputs[0], np.inf) < SNR_FLOOR_DB]
    return list(dict.fromkeys([*tflite_graph.decoding(float_file), *noisy]))


def tensor_snr(
    float_file: Path, quantized_file: Path, samples: Samples, threads: int = 2
) -> dict[str, float]:
    """Signal-to-quantization-noise ratio, in decibels, of each tensor both files have.

    Signal to noise power is averaged over the samples; there are no constants among the tensors.
    """
    recipe = {
        "float_file": file_sha256(float_file),
        "quantized_file": file_sha256(quantized_file),
        "samples": _sha256(samples),
        "code": code_sha256(__name__),
        "versions": versions("ai-edge-quantizer", "ai-edge-litert"),
    }

    def make(folder: Path) -> None:
        from ai_edge_quantizer import model_validator
        from ai_edge_quantizer.utils import validation_utils

        with quiet_quantizer():
            compared = model_validator.compare_model(
                float_file.read_bytes(),
                quantized_file.read_bytes(),
                {tflite_graph.SIGNATURE: samples},
                [validation_utils.ValidationErrorMetric.SNR],
                compare_fns=None,
                use_xnnpack=True,
                num_threads=threads,
            )
        found = compared.get_signature_comparison_result(tflite_graph.SIGNATURE)
        tensors = {**found.intermediate_tensors, **found.output_tensors}
        decibels = {k: float(10 * np.log10(max(v["snr"], 1e-9))) for k, v in tensors.items()}
        (folder / "snr.json").write_text(json.dumps(decibels, indent=1))

    return json.loads((artefact("tensor_snr", recipe, make) / "snr.json").read_text())


def build_variant(
    model_folder: Path,
    variant: str,
    size: tuple[int, int],
    samples: Samples | None,
    threads: int = 2,
) -> Path:
    """The .tflite of any variant of VARIANTS; QlabError for another name."""
    if variant in CONVERTED:
        return convert(model_folder, variant, size)
    if variant in RECIPES:
        return quantize(convert(model_folder, "fp32", size), variant, samples, threads)
    raise QlabError(f"There is no variant '{variant}'; there are {', '.join(VARIANTS)}.")
