"""What a classifier answers on images or sentences, and how well its confidence is calibrated.

Images go in as they are, float32 0..255: preprocessing is the model's own. Sentences go in as
tokens. What comes out is probabilities, from a Keras model and from a .tflite file alike.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import softmax

from qlab.classifier import model_inputs
from qlab.classifier.model_inputs import TOKENS, Inputs
from qlab.core.errors import QlabError
from qlab.core.litert import interpreter
from qlab.core.stats import Estimate, bootstrap_interval, resamples

log = logging.getLogger(__name__)
BINS = 15  # Guo et al., arXiv 1706.04599, section 5
_INTEGERS = (np.int8, np.uint8)


def keras_probabilities(model, inputs: Inputs, batch: int = 256) -> np.ndarray:
    """Class probabilities, float32 [n, classes], of images or tokens by a Keras model.

    Logits get a softmax. QlabError for inputs of another kind or size and for outputs that are no
    numbers.
    """
    shapes = model.input_shape if isinstance(model.input_shape, list) else [model.input_shape]
    _check_fits(model.name, shapes, inputs)
    # Called, not `predict`ed: that would trace each of a sweep's hundred models anew.
    parts = [
        np.asarray(model(model_inputs.fed(part), training=False))
        for part in model_inputs.batches(inputs, batch)
    ]
    return as_probabilities(np.concatenate(parts), model.name)


def tflite_probabilities(
    file: Path, inputs: Inputs, threads: int = 2, batch: int = 64
) -> np.ndarray:
    """Class probabilities, float32 [n, classes], of images or tokens by a .tflite file.

    Where the file's input and output are int8 or uint8, its own scales and zero points are used.
    Examples go in `batch` at a time where the file leaves that open, else one by one.
    QlabError as for `keras_probabilities`, and where the file is missing or no classifier.
    """
    run, batch = _runner(Path(file), inputs, threads, batch)
    parts = [run(part) for part in model_inputs.batches(inputs, batch)]
    return as_probabilities(np.concatenate(parts), Path(file).name)


def one_example(file: Path, inputs: Inputs, threads: int = 2) -> Callable[[], object]:
    """A call that runs a .tflite file on one image or sentence, for timing the graph."""
    run, _ = _runner(Path(file), inputs, threads, 1)
    return lambda: run(inputs)


def _check_fits(name: str, shapes: Sequence, inputs: Inputs) -> None:
    """Refuse inputs that do not fit the shapes of a model's inputs, in which None fits anything."""
    wanted = [None if size is None or size < 0 else int(size) for size in shapes[0][1:]]
    arrays = model_inputs.arrays(inputs)
    found = list(next(iter(arrays.values())).shape[1:])
    fits = len(found) == len(wanted) and all(
        w in (None, f) for w, f in zip(wanted, found, strict=True)
    )
    types = {np.dtype(np.int32 if isinstance(inputs, Mapping) else np.uint8)}
    right = len(arrays) == len(shapes) and {v.dtype for v in arrays.values()} == types
    if not right or not fits or not model_inputs.count(inputs):
        told = model_inputs.described(inputs)
        if len(shapes) == len(TOKENS):
            raise QlabError(
                f"{name} takes sentences of {wanted[0]} tokens ({', '.join(TOKENS)}, int32); got "
                f"{told}. Give it tokenized sentences of that length."
            )
        raise QlabError(
            f"{name} takes images of height, width and channels {wanted}; got {told}. Give uint8 "
            "images of that size."
        )


def _runner(
    file: Path, inputs: Inputs, threads: int, batch: int
) -> tuple[Callable[[Inputs], np.ndarray], int]:
    """A function from at most so many examples to the file's real outputs; and how many."""
    if not file.is_file():
        raise QlabError(f"There is no .tflite file at {file}.")
    try:
        model = interpreter(file.read_bytes(), threads)
    except (ValueError, RuntimeError) as error:
        raise QlabError(f"{file.name} cannot be run by LiteRT: {error}") from error
    sources, target = _ends(model, file.name)
    _check_fits(file.name, [source["shape_signature"] for source in sources], inputs)
    if sources[0]["shape_signature"][0] == -1:
        for source in sources:
            model.resize_tensor_input(source["index"], [batch, *source["shape"][1:]])
        model.allocate_tensors()
    else:
        batch = int(sources[0]["shape"][0])

    def run(some: Inputs) -> np.ndarray:
        for source, values in _by_end(sources, some):
            full = np.zeros((batch, *values.shape[1:]), values.dtype)
            full[: len(values)] = values
            model.set_tensor(source["index"], _encoded(full, source))
        model.invoke()
        return _decoded(model.get_tensor(target["index"])[: model_inputs.count(some)], target)

    return run, batch


def _by_end(sources: Sequence[dict], some: Inputs) -> list[tuple[dict, np.ndarray]]:
    """Each input of a file with the values it gets; tokens find theirs by name."""
    fed = model_inputs.fed(some)
    if not isinstance(fed, Mapping):
        return [(sources[0], fed)]
    return [(s, fed[name]) for s in sources for name in TOKENS if name in s["name"]]


def _ends(model, name: str) -> tuple[list[dict], dict]:
    """The inputs of a classifier, one for images or those of TOKENS, and its one output."""
    inputs, outputs = model.get_input_details(), model.get_output_details()
    ranks = [len(end["shape"]) for end in inputs + outputs]
    known = all(end["dtype"] in (np.float32, *_INTEGERS) for end in inputs + outputs)
    if ranks == [4, 2] and known or ranks == [2, 2, 2, 2] and _take_tokens(inputs):
        return inputs, outputs[0]
    spelt = ", ".join(f"{e['dtype'].__name__} {e['shape'].tolist()}" for e in inputs + outputs)
    raise QlabError(
        f"{name} is no image classifier: expected one input [n, height, width, channels] and "
        f"one output [n, classes], float32, int8 or uint8; found {spelt}. Nor is it one of "
        f"sentences, with the inputs {', '.join(TOKENS)}, int32 [n, length]."
    )


def _take_tokens(inputs: Sequence[dict]) -> bool:
    """Whether a file's inputs are those of TOKENS."""
    named = {name for name in TOKENS for end in inputs if name in end["name"]}
    return named == set(TOKENS) and all(end["dtype"] == np.int32 for end in inputs)


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
    inside = outputs.min() >= -0.01 and outputs.max() <= 1.01
    if inside and 0.5 <= outputs.sum(1).mean() <= 1.5:
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
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> float:
    """ECE: mean distance of accuracy and confidence over bins of equal width, 0 to 1.

    Guo et al., arXiv 1706.04599, equation 3: images are sorted into `bins` intervals, closed above,
    by the probability of their likeliest class; a bin weighs as much as it has images.
    """
    return float(np.abs(_gaps(probabilities, labels, bins).sum(0)).sum() / len(labels))


def calibration_error(
    probabilities: np.ndarray,
    labels: np.ndarray,
    bins: int = BINS,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """ECE with its bootstrap 95 % interval over images, corrected for bias.

    ECE of few images comes out too high (noise in a bin never cancels), and in resamples more so;
    compare models on the same images only.
    """
    gaps = _gaps(probabilities, labels, bins)
    samples = np.abs(resamples(len(labels), draws, seed) @ gaps).sum(1) / len(labels)
    value = expected_calibration_error(probabilities, labels, bins)
    return Estimate(value, *bootstrap_interval(samples, value), len(labels))


def _gaps(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> np.ndarray:
    """Right (1 or 0) minus confidence of each image, in the column of its bin: [n, bins]."""
    confidence = probabilities.max(1).astype(float)
    column = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.zeros((len(labels), bins))
    gaps[np.arange(len(labels)), column] = correct(probabilities, labels) - confidence
    return gaps
