"""What a classifier answers on images, and how well its confidence is calibrated.

Images go in as they are, float32 0..255: preprocessing is the model's own. What comes out is
probabilities, from a Keras model and from a .tflite file alike.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import softmax

from qlab.core.errors import QlabError
from qlab.core.litert import interpreter
from qlab.core.stats import Estimate, bootstrap_interval, resamples

log = logging.getLogger(__name__)
BINS = 15  # Guo et al., arXiv 1706.04599, section 5
_INTEGERS = (np.int8, np.uint8)


def keras_probabilities(model, images: np.ndarray, batch: int = 256) -> np.ndarray:
    """Class probabilities, float32 [n, classes], of images uint8 [n, h, w, c] by a Keras model.

    Logits get a softmax. QlabError for images of another kind or size and for outputs that are no
    numbers.
    """
    _check_fits(model.name, model.input_shape, images)
    # Called, not `predict`ed: that would trace each of a sweep's hundred models anew.
    parts = [
        np.asarray(model(images[at : at + batch].astype(np.float32), training=False))
        for at in range(0, len(images), batch)
    ]
    return as_probabilities(np.concatenate(parts), model.name)


def tflite_probabilities(
    file: Path, images: np.ndarray, threads: int = 2, batch: int = 64
) -> np.ndarray:
    """Class probabilities, float32 [n, classes], of images uint8 [n, h, w, c] by a .tflite file.

    Where the file's input and output are int8 or uint8, its own scales and zero points are used.
    Images go in `batch` at a time where the file leaves that open, else one by one.
    QlabError as for `keras_probabilities`, and where the file is missing or no classifier.
    """
    run, batch = _runner(Path(file), images, threads, batch)
    parts = [run(images[at : at + batch]) for at in range(0, len(images), batch)]
    return as_probabilities(np.concatenate(parts), Path(file).name)


def one_image(file: Path, image: np.ndarray, threads: int = 2) -> Callable[[], object]:
    """A call that runs a .tflite file on one image [1, h, w, c], for timing the graph."""
    run, _ = _runner(Path(file), image, threads, 1)
    return lambda: run(image)


def _check_fits(name: str, shape: Sequence, images: np.ndarray) -> None:
    """Refuse images that do not fit a model's input shape, in which None or -1 fits anything."""
    wanted = [None if size is None or size < 0 else int(size) for size in shape[1:]]
    found = list(images.shape[1:])
    fits = len(found) == len(wanted) and all(
        w in (None, f) for w, f in zip(wanted, found, strict=True)
    )
    if images.dtype != np.uint8 or not fits or not len(images):
        raise QlabError(
            f"{name} takes images of height, width and channels {wanted}; got {len(images)} of "
            f"{found}, {images.dtype}. Give uint8 images of that size."
        )


def _runner(
    file: Path, images: np.ndarray, threads: int, batch: int
) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """A function from at most so many images to the file's real outputs; and how many."""
    if not file.is_file():
        raise QlabError(f"There is no .tflite file at {file}.")
    try:
        model = interpreter(file.read_bytes(), threads)
    except (ValueError, RuntimeError) as error:
        raise QlabError(f"{file.name} cannot be run by LiteRT: {error}") from error
    source, target = _ends(model, file.name)
    _check_fits(file.name, source["shape_signature"], images)
    if source["shape_signature"][0] == -1:
        model.resize_tensor_input(source["index"], [batch, *source["shape"][1:]])
        model.allocate_tensors()
    else:
        batch = int(source["shape"][0])

    def run(some: np.ndarray) -> np.ndarray:
        full = np.zeros((batch, *some.shape[1:]), np.float32)
        full[: len(some)] = some
        model.set_tensor(source["index"], _encoded(full, source))
        model.invoke()
        return _decoded(model.get_tensor(target["index"])[: len(some)], target)

    return run, batch


def _ends(model, name: str) -> tuple[dict, dict]:
    """The one input and the one output of an image classifier."""
    ends = model.get_input_details() + model.get_output_details()
    known = all(end["dtype"] in (np.float32, *_INTEGERS) for end in ends)
    if [len(end["shape"]) for end in ends] == [4, 2] and known:
        return ends[0], ends[1]
    spelt = ", ".join(f"{e['dtype'].__name__} {e['shape'].tolist()}" for e in ends)
    raise QlabError(
        f"{name} is no image classifier: expected one input [n, height, width, channels] and "
        f"one output [n, classes], float32, int8 or uint8; found {spelt}."
    )


def _encoded(values: np.ndarray, end: dict) -> np.ndarray:
    """Real values as a tensor holds them: code = round(value / scale) + zero point."""
    if end["dtype"] not in _INTEGERS:
        return values
    scale, zero = end["quantization"]
    limits = np.iinfo(end["dtype"])
    return np.clip(np.rint(values / scale) + zero, limits.min, limits.max).astype(end["dtype"])


def _decoded(codes: np.ndarray, end: dict) -> np.ndarray:
    """The real values of a tensor's codes."""
    if end["dtype"] not in _INTEGERS:
        return codes
    scale, zero = end["quantization"]
    return ((codes.astype(np.float32) - zero) * scale).astype(np.float32)


def are_probabilities(outputs: np.ndarray) -> bool:
    """Whether outputs [n, classes] are probabilities, and no logits."""
    inside = outputs.min() >= -0.01 and outputs.max() <= 1.01
    return bool(inside and 0.5 <= outputs.sum(1).mean() <= 1.5)


def as_probabilities(outputs: np.ndarray, name: str) -> np.ndarray:
    """Outputs [n, classes] as probabilities: unchanged, or the softmax of what is logits.

    Probabilities lie in 0..1 and sum to about 1; not to just 1, because quantization rounds each.
    QlabError for outputs that are not finite, or not [n, classes].
    """
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise QlabError(
            f"{name} answers with {list(outputs.shape)}; expected [images, classes], 2 or more."
        )
    bad = ~np.isfinite(outputs).all(1)
    if bad.any():
        raise QlabError(
            f"{name}: {bad.sum()} of {len(outputs)} outputs, first that of image {bad.argmax()}, "
            "are no finite numbers; the model is broken (training diverged, or a bad conversion)."
        )
    if are_probabilities(outputs):
        return outputs.astype(np.float32)
    _say_softmax(name)
    return softmax(outputs.astype(np.float64), axis=1).astype(np.float32)


@cache  # once per model, not once per pass
def _say_softmax(name: str) -> None:
    log.warning("%s answers with logits, not probabilities: they get a softmax.", name)


def correct(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether the likeliest class is the label: bool [n]."""
    return probabilities.argmax(1) == labels


def expected_calibration_error(
    confidence: np.ndarray, right: np.ndarray, bins: int = BINS
) -> float:
    """ECE: mean distance of accuracy and confidence over bins of equal width, 0 to 1.

    `confidence` [n] is the probability of the likeliest class, `right` [n] whether it is the
    label. Guo et al., arXiv 1706.04599, equation 3: images are sorted into `bins` intervals, closed
    above, by confidence; a bin weighs as much as it has images.
    """
    return float(np.abs(_gaps(confidence, right, bins).sum(0)).sum() / len(right))


def calibration_error(
    confidence: np.ndarray, right: np.ndarray, bins: int = BINS, draws: int = 1000, seed: int = 0
) -> Estimate:
    """ECE with its bootstrap 95 % interval over images, corrected for bias.

    ECE of few images comes out too high (noise in a bin never cancels), and in resamples more so;
    compare models on the same images only.
    """
    gaps = _gaps(confidence, right, bins)
    samples = np.abs(resamples(len(right), draws, seed) @ gaps).sum(1) / len(right)
    value = expected_calibration_error(confidence, right, bins)
    return Estimate(value, *bootstrap_interval(samples, value), len(right))


def _gaps(confidence: np.ndarray, right: np.ndarray, bins: int) -> np.ndarray:
    """Right (1 or 0) minus confidence of each image, in the column of its bin: [n, bins]."""
    confidence = confidence.astype(float)
    column = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.zeros((len(right), bins))
    gaps[np.arange(len(right)), column] = right - confidence
    return gaps
