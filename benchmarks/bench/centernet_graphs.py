"""The benchmark of CenterNet: a random network at full size, and its .tflite files."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qlab.core import progress
from qlab.core.cache import artefact, file_sha256, versions
from qlab.detector import detect, mini_coco

SEED = 0
DAMPING = 0.1
SUBPIXEL = "int8_dynamic_subpixel"  # the cure: int8_dynamic of the twin without deconvolutions
SELECTIVE_SUBPIXEL = "int8_selective_subpixel"  # and int8_selective of the same twin
OF_THE_TWIN = {SUBPIXEL: "int8_dynamic", SELECTIVE_SUBPIXEL: "int8_selective"}
SLOW = "int16x8"  # LiteRT has only reference kernels for it: 25 s an image


def images(split: str, count: int) -> list[np.ndarray]:
    """Scenes of mini_coco as uint8 [512, 512, 3]."""
    return [detect.resized(scene.pixels, (512, 512)) for scene in mini_coco.scenes(split, count)]


def settle(model, batch: np.ndarray) -> None:
    """Give a random network the statistics a trained one has, from one pass over `batch`.

    Batch normalization's moving averages become the batch's; without them activations mean
    nothing. The last scale of each residual branch becomes DAMPING (Goyal et al., arXiv
    1706.02677, section 5.1, start training from 0): at full strength a deep random network
    amplifies rounding until less signal than noise arrives, and int8_selective, which keeps such
    operators float, would be no int8 network at all.
    """
    norms = [x for x in model.layers if type(x).__name__ == "BatchNormalization"]
    for norm in norms:
        if norm.name.endswith("mid2_bn"):
            norm.gamma.assign(norm.gamma * DAMPING)
        norm.momentum = 0.0
    model(batch, training=True)


def saved_models(calibration: Sequence[np.ndarray]) -> Path:
    """Folder with the SavedModels `transposed` and `subpixel`: the same function, two necks."""
    from qlab.detector import centernet

    recipe = {
        "architecture": dataclasses.asdict(centernet.RESNET50V2_512),
        "code": file_sha256(Path(centernet.__file__)),
        "seed": SEED,
        "damping": DAMPING,
        "statistics": f"mini_coco calibration, first {len(calibration)}",
        "versions": versions("tensorflow", "tf-keras", "numpy"),
    }

    def make(folder: Path) -> None:
        centernet.keras.utils.set_random_seed(SEED)
        model = centernet.build(centernet.RESNET50V2_512)
        settle(model, np.stack(calibration).astype(np.float32))
        centernet.export(model, folder / "transposed")
        twin = centernet.to_subpixel(model, centernet.RESNET50V2_512)
        centernet.export(twin, folder / "subpixel")

    return artefact("benchmark_model", recipe, make)


def tflite_files(calibration: Sequence[np.ndarray], slow: bool) -> dict[str, Path]:
    """The .tflite of each variant; int16x8 only if `slow`."""
    from qlab.detector import quantize

    folder = saved_models(calibration)
    samples = quantize.calibration_samples(calibration)
    variants = [v for v in quantize.VARIANTS if slow or v != SLOW]
    files = {
        v: quantize.build_variant(folder / "transposed", v, (512, 512), samples)
        for v in progress.bar("converting")(variants)
    }
    for v, usual in OF_THE_TWIN.items():
        files[v] = quantize.build_variant(folder / "subpixel", usual, (512, 512), samples)
    return files
