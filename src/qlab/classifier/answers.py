"""A classifier's predictions on images, and how well its confidence is calibrated.

Images, uint8 [n, h, w, c], go in unchanged, because the model does its own preprocessing. Keras
models and .tflite files alike give probabilities, float32 [n, classes].
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import softmax

from qlab.core.errors import QlabError
from qlab.core.stats import Estimate, bootstrap_interval, resamples
from qlab.tflite.graph import widened
from qlab.tflite.litert import interpreter


def keras_probabilities(model, images: np.ndarray, batch: int = 256) -> np.ndarray:
    """Class probabilities from a Keras model; see `as_probabilities`."""
    # Called directly: `predict` would trace each of a sweep's hundred models anew.
    parts = [
        np.asarray(model(images[at : at + batch].astype(np.float32), training=False))
        for at in range(0, len(images), batch)
    ]
    return as_probabilities(np.concatenate(parts), model.name)


def tflite_probabilities(
    file: Path, images: np.ndarray, threads: int = 2, batch: int = 64
) -> np.ndarray:
    """Class probabilities from a .tflite file; see `as_probabilities`."""
    run = runner(widened(file), threads, batch)  # 4-bit kernels are slow
    parts = [run(images[at : at + batch]) for at in range(0, len(images), batch)]
    return as_probabilities(np.concatenate(parts), file.name)


def runner(content: bytes, threads: int, batch: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that maps up to `batch` images to the float32 outputs of a .tflite, given
    its content; the model's own input and output may be int8."""
    model = interpreter(content, threads)
    [source], [target] = model.get_input_details(), model.get_output_details()
    model.resize_tensor_input(source["index"], [batch, *source["shape"][1:]])
    model.allocate_tensors()
    (scale, zero), (step, origin) = source["quantization"], target["quantization"]

    def run(some: np.ndarray) -> np.ndarray:
        full = np.zeros((batch, *some.shape[1:]), np.float32)
        full[: len(some)] = some
        if scale:
            full = np.clip(np.rint(full / scale) + zero, -128, 127).astype(np.int8)
        model.set_tensor(source["index"], full)
        model.invoke()
        found = model.get_tensor(target["index"])[: len(some)]
        return (found.astype(np.float32) - origin) * step if step else found

    return run


def are_probabilities(outputs: np.ndarray) -> bool:
    """Whether outputs [n, classes] are probabilities, up to quantization error, and not logits."""
    inside = outputs.min() >= -0.01 and outputs.max() <= 1.01
    return bool(inside and 0.5 <= outputs.sum(1).mean() <= 1.5)


def as_probabilities(outputs: np.ndarray, name: str) -> np.ndarray:
    """Return probabilities [n, classes] as they are, and logits as their softmax.

    QlabError: some outputs are not finite, which would otherwise look like an accuracy of zero.
    """
    bad = ~np.isfinite(outputs).all(1)
    if bad.any():
        raise QlabError(
            f"{name}: {bad.sum()} of {len(outputs)} outputs, first that of image {bad.argmax()}, "
            "are no finite numbers; the model is broken (training diverged, or a bad conversion)."
        )
    given = are_probabilities(outputs)
    return (outputs if given else softmax(outputs.astype(np.float64), axis=1)).astype(np.float32)


def correct(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether the likeliest class is the label: bool [n]."""
    return probabilities.argmax(1) == labels


def calibration_error(
    confidence: np.ndarray, right: np.ndarray, bins: int = 15, draws: int = 1000
) -> Estimate:
    """ECE with its bootstrap 95 % interval over images (Guo et al., arXiv 1706.04599, equation 3).

    The mean absolute gap, over bins of equal width closed above, between the means of `confidence`
    [n], the probability of the likeliest class, and `right` [n], whether it is the label. Few
    images give too high an ECE, as noise in a bin never cancels: compare only on the same images.
    """
    confidence = confidence.astype(float)
    column = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.zeros((len(right), bins))  # one row per image, in the column of its bin
    gaps[np.arange(len(right)), column] = right - confidence
    value = float(np.abs(gaps.sum(0)).sum() / len(right))
    samples = np.abs(resamples(len(right), draws, 0) @ gaps).sum(1) / len(right)
    return Estimate(value, *bootstrap_interval(samples, value), len(right))
