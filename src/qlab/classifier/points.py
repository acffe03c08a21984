"""The points of notebook 03: quantize some layers of a classifier, with or without fine-tuning.

Points are cached by content: an interrupted sweep continues with those that are missing.
"""

import logging
import multiprocessing
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qlab.classifier import answers, export, fine_tune, partial_qat, quantizers
from qlab.classifier import model as keras_classifier
from qlab.classifier.data import Parameters, Task, prepare
from qlab.classifier.partial_qat import keras
from qlab.core import processes, provenance
from qlab.core.cache import artefact, code_sha256, versions
from qlab.core.errors import QlabError
from qlab.tflite.tf import tf

log = logging.getLogger(__name__)

PACKAGES = ["tensorflow", "tf-keras", "tensorflow-model-optimization"]
PACKAGES += ["ai-edge-litert", "ai-edge-quantizer"]
PARENT = "fp32"  # the float variant
FLOATS = {"float": PARENT, "tuned": "fp32_tuned"}  # method -> variant


@dataclass(frozen=True)
class Point:
    """One way to quantize: which layers, in how many bits, by what method, from which seed."""

    method: str  # float, tuned, ptq, qat, or qatcold (qat from tfmot's initial ranges)
    where: str = "last"  # "last", "first" or "only"
    k: int = 0  # how many layers; of "only": the k-th, counted from 1
    bits: int = 8
    seed: int = 0
    rounding: str = ""  # of PTQ's weights: a key of `export.ROUNDINGS`
    raw: bool = False  # with the model's poolings as its file has them, see `model.with_means`

    @property
    def variant(self) -> str:
        """Name in the records, such as `qat_w4a8_first2`; `fp32_tuned` for the float control."""
        name = "{method}_w{bits}a8_{where}{k}"
        return FLOATS.get(self.method) or name.format(**self.columns)

    @property
    def columns(self) -> dict[str, Any]:
        """The columns that say what its records are about, without the seed."""
        made = "_".join(filter(None, (self.method, self.rounding, "raw" if self.raw else "")))
        about = {"method": made, "bits": self.bits, "where": self.where, "k": self.k}
        return {"bits": 32} if self.method in FLOATS else about

    @property
    def drawn(self) -> dict[str, Any]:
        """The same with the seed, if something was drawn at random."""
        return self.columns | ({} if self.method in ("float", "ptq") else {"seed": self.seed})


FLOAT = Point("float")  # the parent, as it is


class Answer(NamedTuple):
    """The result of a point."""

    file: Path | None  # .tflite; None if it cannot be made
    probabilities: dict[str, np.ndarray]  # float32 [n, classes] by graph, see `answer`
    failed: str = ""  # why it cannot be made


class Bench:
    """A task's model, loaded once, and its float file."""

    def __init__(self, task: Task, raw: bool = False) -> None:
        self.task, self.is_raw = task, raw
        self.model = keras_classifier.load(task.file, raw)
        found = partial_qat.weighted_layers(self.model)
        self.layers = [name for name in found if name not in task.leave_float]
        few = task.calibration.images[:64].astype(np.float32)
        self.logits = not answers.are_probabilities(np.asarray(self.model(few, training=False)))
        if not self.layers:
            kinds = ", ".join(f"{x.name} ({type(x).__name__})" for x in self.model.layers)
            raise QlabError(f"{task.file} has no layer that can be quantized: {kinds}.")

    def chosen(self, point: Point) -> list[str]:
        """Names of the layers that a point quantizes."""
        return partial_qat.choose(self.layers, point.where, point.k)

    def quantized(self, point: Point) -> keras.Model:
        """The model with a point's layers wrapped."""
        how = self.chosen(point), point.bits, self.task.leave_float
        return partial_qat.quantized(self.model, *how)

    @cached_property
    def raw(self) -> "Bench":
        """The same bench with the model's poolings as its file has them."""
        return self if self.is_raw else Bench(self.task, raw=True)

    @cached_property
    def float_file(self) -> Path:
        """The model's float32 .tflite."""
        return answer(replace(FLOAT, raw=self.is_raw), self, self.task.given.threads).file


def parent(bench: Bench, threads: int) -> Answer:
    """The float model as it is: its Keras graph's answers and its file's."""
    return answer(FLOAT, bench, threads)


def made(points: Sequence[Point], task: Task, threads: int, progress=iter) -> dict[Point, Answer]:
    """Make each point; the answer of one that cannot be made says why, which is logged too.

    Without a GPU, points share processes that train with one thread: so small a network trains no
    faster with two threads, whose sums would differ in their last digits.
    """
    gpu = tf.config.list_physical_devices("GPU")
    calls = [(point, task.given, threads) for point in points]
    given = processes.starmap(tried, calls, 1 if gpu else 2, progress)
    found = dict(zip(points, given, strict=True))
    for point, one in found.items():
        if one.failed:
            log.warning("%s is not there: %s", point.variant, one.failed)
    return found


@cache
def _bench(given: Parameters, alone: bool) -> "Bench":
    """The bench of a task, made once per process; if `alone`, TensorFlow gets one thread."""
    if alone:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    return Bench(prepare(given))


def tried(point: Point, given: Parameters, threads: int) -> Answer:
    """What a point gives, or why it cannot be made."""
    from tensorflow.lite.python.convert_phase import ConverterError

    bench = _bench(given, multiprocessing.parent_process() is not None)
    try:
        return answer(point, bench, threads)
    except (QlabError, RuntimeError, ValueError, ConverterError) as error:
        return Answer(None, {}, str(error))


def answer(point: Point, bench: Bench, threads: int) -> Answer:
    """Make a point, or read it if it was made before.

    Probabilities on the test images are by graph: `float`, the weights without quantizers;
    `fake_quant`, the graph with tfmot's quantizers; `tflite`, the file. QlabError: see
    `export.check`, or fine-tuning diverged.
    """
    bench = bench.raw if point.raw else bench
    task = bench.task
    recipe = {
        "point": asdict(point),
        "task": task.inputs(),
        "leave_float": task.leave_float,
        "settings": task.training._asdict(),
        "threads": threads,
        "processor": provenance.processor(),
        "code": code_sha256(__name__),
        "versions": versions(*PACKAGES),
    }

    def make(folder: Path) -> None:
        probabilities, test = {}, task.test.images
        if point.method == "float":
            content = export.convert(bench.model)
            probabilities["float"] = answers.keras_probabilities(bench.model, test)
        elif point.method == "ptq":
            images, left = task.calibration.images, task.leave_float
            how = (bench.chosen(point), point.bits, images, threads, left, point.rounding)
            content = export.ptq(bench.float_file, *how)
        else:
            content, probabilities = _tuned(point, bench)
        file = folder / "model.tflite"
        file.write_bytes(content)
        export.check(file, bench.layers, bench.chosen(point), point.bits)
        probabilities["tflite"] = answers.tflite_probabilities(file, test, threads)
        np.savez_compressed(folder / "probabilities.npz", **probabilities)

    folder = artefact("qat_point", recipe, make)
    with np.load(folder / "probabilities.npz") as kept:
        return Answer(folder / "model.tflite", dict(kept))


def _tuned(point: Point, bench: Bench) -> tuple[bytes, dict[str, np.ndarray]]:
    """Fine-tune with quantizers or, as a control, without: .tflite and other graphs' answers."""
    task, test = bench.task, bench.task.test.images
    keras.utils.set_random_seed(point.seed)
    model = bench.quantized(point)
    if point.method == "qat":
        quantizers.calibrate(model, bench.model, task.calibration.images)
    fine_tune.compiled(model, task.training, bench.logits)
    steps = fine_tune.batches(task.train, task.training, point.seed)
    fine_tune.run(model, steps, task.training, len(task.train))
    found = {"float": answers.keras_probabilities(partial_qat.plain(model, bench.model), test)}
    if point.k:
        found["fake_quant"] = answers.keras_probabilities(model, test)
    return export.convert(model), found
