"""CenterNet graphs to benchmark: a random network at full size, and a detector's .tflite files."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qlab.core import progress, quiet
from qlab.core.cache import artefact, file_sha256, versions
from qlab.detector import centernet, detect, mini_coco
from qlab.tflite import graph as tflite_graph
from qlab.tflite.litert import quiet_quantizer

SEED = 0
DAMPING = 0.1
SUBPIXEL = "int8_dynamic_subpixel"  # the cure: int8_dynamic of the twin without deconvolutions
SELECTIVE_SUBPIXEL = "int8_selective_subpixel"  # and int8_selective of the same twin
OF_THE_TWIN = {SUBPIXEL: "int8_dynamic", SELECTIVE_SUBPIXEL: "int8_selective"}
SLOW = "int16x8"  # LiteRT has only reference kernels for it: 25 s an image
# Made by ai-edge-quantizer with its recipe of this name; the others by TensorFlow's converter.
RECIPES = {
    "int8_dynamic_deconv_fp32": "dynamic_wi8_afp32",
    "int8_static": "static_wi8_ai8",
    "int8_selective": "static_wi8_ai8",
    SLOW: "static_wi8_ai16",
}
VARIANTS = ("fp32", "fp16", "int8_dynamic", *RECIPES)


def images(split: str, count: int) -> list[np.ndarray]:
    """Scenes of mini_coco as uint8 [512, 512, 3]."""
    scenes = (mini_coco.draw_scene(split, i).pixels for i in range(count))
    return [detect.resized(pixels, (512, 512)) for pixels in scenes]


def settle(model, batch: np.ndarray) -> None:
    """Give a random network the statistics that a trained one has, from one pass over `batch`.

    Batch normalization's moving averages become those of the batch; without them, activations mean
    nothing. The last scale of each residual branch becomes DAMPING (Goyal et al., arXiv 1706.02677,
    section 5.1, start training from 0): at full strength, a deep random network amplifies rounding
    until there is more noise than signal.
    """
    norms = [x for x in model.layers if type(x).__name__ == "BatchNormalization"]
    for norm in norms:
        if norm.name.endswith("mid2_bn"):
            norm.gamma.assign(norm.gamma * DAMPING)
        norm.momentum = 0.0
    model(batch, training=True)


def saved_models(calibration: Sequence[np.ndarray]) -> Path:
    """Folder with the SavedModels `transposed` and `subpixel`: the same function with two necks."""
    from bench import centernet_network as network

    recipe = {
        "code": [file_sha256(Path(m.__file__)) for m in (network, centernet)],
        "seed": SEED,
        "damping": DAMPING,
        "statistics": f"mini_coco calibration, first {len(calibration)}",
        "versions": versions("tensorflow", "tf-keras", "numpy"),
    }

    def make(folder: Path) -> None:
        network.keras.utils.set_random_seed(SEED)
        model = network.build()
        settle(model, np.stack(calibration).astype(np.float32))
        centernet.export(model, folder / "transposed")
        centernet.export(centernet.to_subpixel(model), folder / "subpixel")

    return artefact("benchmark_model", recipe, make)


def tflite_files(calibration: Sequence[np.ndarray], slow: bool) -> dict[str, Path]:
    """The .tflite of each variant; int16x8 only if `slow`."""
    folder = saved_models(calibration)
    variants = [v for v in VARIANTS if slow or v != SLOW]
    files = tflite(folder / "transposed", variants, calibration)
    twin = tflite(folder / "subpixel", ["fp32", *OF_THE_TWIN.values()], calibration)
    return files | {v: twin[usual] for v, usual in OF_THE_TWIN.items()}


def tflite(
    saved_model: Path, variants: Sequence[str], calibration: Sequence[np.ndarray], more: str = ""
) -> dict[str, Path]:
    """The .tflite of each of some VARIANTS, fp32 first, for calibration images uint8 [h, w, 3].

    Besides the decoding, int8_selective leaves operators float with `more` in their output's name.
    """
    recipe = {
        "saved_model": file_sha256(saved_model),
        "variants": list(variants),
        "calibration": hashlib.sha256(np.stack(calibration).tobytes()).hexdigest(),
        "left_float": more,
        "code": file_sha256(Path(__file__)),
        "versions": versions("tensorflow", "ai-edge-quantizer"),
    }

    def make(folder: Path) -> None:
        samples = [{"input_tensor": image[None]} for image in calibration]
        for variant in progress.bar("converting")(variants):
            if variant in RECIPES:
                content = quantized(folder / "fp32.tflite", variant, samples, more)
            else:
                content = converted(saved_model, variant, samples[0]["input_tensor"].shape)
            (folder / f"{variant}.tflite").write_bytes(content)

    folder = artefact("benchmark_tflite", recipe, make)
    return {v: folder / f"{v}.tflite" for v in variants}


def converted(saved_model: Path, variant: str, shape: Sequence[int]) -> bytes:
    """fp32, fp16 or int8_dynamic of a detector with the zoo's signature, for one input shape."""
    from qlab.tflite.tf import tf

    model = tf.saved_model.load(str(saved_model))
    image = tf.TensorSpec(shape, tf.uint8, "input_tensor")
    serve = model.signatures["serving_default"]
    graph = tf.function(lambda input_tensor: serve(input_tensor=input_tensor))
    graph = graph.get_concrete_function(image)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], model)
    converter.optimizations = [] if variant == "fp32" else [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16] if variant == "fp16" else []
    with quiet.quiet():
        return converter.convert()


def quantized(fp32: Path, variant: str, samples: list[dict], more: str) -> bytes:
    """A variant of RECIPES by ai-edge-quantizer; inputs and outputs keep their types."""
    from ai_edge_quantizer import qtyping, quantizer, recipe

    kind = qtyping.TFLOperationName
    floats = [(".*", kind.INPUT), (".*", kind.OUTPUT)]
    if variant == "int8_dynamic_deconv_fp32":
        floats += [(".*", kind.CONV_2D_TRANSPOSE)]
    if variant == "int8_selective":
        after = set(tflite_graph.decoding(fp32))
        names = [o.rule for o in tflite_graph.operators(fp32) if after & set(o.outputs)]
        names += [f".*{more}.*"] if more else []
        floats += [(name, kind.ALL_SUPPORTED) for name in names]
    made = quantizer.Quantizer(str(fp32))
    made.load_quantization_recipe(getattr(recipe, RECIPES[variant])())
    for name, operators in floats:
        made.update_quantization_recipe(name, operators, algorithm_key="no_quantize")
    with quiet_quantizer():
        data = {tflite_graph.SIGNATURE: samples}
        ranges = made.calibrate(data, num_threads=2) if made.need_calibration else None
        return made.quantize(ranges).quantized_model
