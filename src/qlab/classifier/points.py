"""The points of notebook 03: quantize some layers of a classifier, with or without fine-tuning.

A point is kept by content, so an interrupted sweep goes on with the points that are missing.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qlab.classifier import answers, export, fine_tune, partial_qat, ptq, quantizers
from qlab.classifier.data import Task
from qlab.classifier.fine_tune import Diverged
from qlab.classifier.partial_qat import keras
from qlab.core import provenance, tflite_graph
from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.errors import QlabError

log = logging.getLogger(__name__)

METHODS = ("tuned", "ptq", "qat", "qatcold")  # cold: from the ranges that tfmot starts with
TRAINERS = ["tensorflow", "tf-keras", "tensorflow-model-optimization"]
PACKAGES = [*TRAINERS, "ai-edge-litert", "ai-edge-quantizer"]
PARENT = "fp32"  # the float variant
FLOATS = {"float": PARENT, "tuned": "fp32_tuned"}  # method -> variant


@dataclass(frozen=True)
class Point:
    """One way to quantize: which layers, in how many bits, by what method, from which seed."""

    method: str
    where: str = "last"  # "last", "first" or "only"
    k: int = 0  # how many layers; of "only": the k-th, counted from 1
    bits: int = 8
    seed: int = 0
    rounding: str = ""  # of PTQ's weights: a key of `ptq.ROUNDINGS`
    raw: bool = False  # with the model's poolings as its file has them, see `model.with_means`

    @property
    def variant(self) -> str:
        """Its name in the records, such as `qat_w4a8_first2`; of the float control `fp32_tuned`."""
        if self.method in FLOATS:
            return FLOATS[self.method]
        return f"{self.made}_w{self.bits}a8_{self.where}{self.k}"

    @property
    def made(self) -> str:
        """The method, how it rounds, and whether poolings are as they were."""
        parts = (self.method, self.rounding, "raw" if self.raw else "")
        return "_".join(filter(None, parts))

    @property
    def columns(self) -> dict[str, Any]:
        """What its records are about, by column, whatever the seed."""
        if self.method in FLOATS:
            return {"bits": 32}
        about = {"bits": self.bits, "where": self.where, "k": self.k}
        return {"method": self.made, **about}

    @property
    def drawn(self) -> dict[str, Any]:
        """The same with the seed, where something was drawn at random."""
        return self.columns | ({} if self.method in ("float", "ptq") else {"seed": self.seed})


FLOAT = Point("float")  # the parent, as it is


class Answer(NamedTuple):
    """What a point gave."""

    file: Path | None  # .tflite; None where fine-tuning diverged
    probabilities: dict[str, np.ndarray]  # float32 [n, classes] by graph, see `answer`
    facts: dict[str, Any]  # steps taken, or what went wrong


class Bench:
    """A task's model, loaded once, and its float file."""

    def __init__(self, task: Task, raw: bool = False) -> None:
        self.task, self.is_raw = task, raw
        self.model = task.load(raw)
        found = partial_qat.weighted_layers(self.model)
        self.layers = [name for name in found if name not in task.leave_float]
        few = task.calibration.images[:64].astype(np.float32)
        self.logits = not answers.are_probabilities(np.asarray(self.model(few, training=False)))
        if not self.layers:
            kinds = ", ".join(f"{x.name} ({type(x).__name__})" for x in self.model.layers)
            raise QlabError(f"{task.file} has no layer that can be quantized: {kinds}.")

    def quantized(self, point: "Point") -> keras.Model:
        """The model with a point's layers wrapped."""
        chosen = partial_qat.choose(self.layers, point.where, point.k)
        return partial_qat.quantized(self.model, chosen, point.bits, self.task.leave_float)

    @cached_property
    def raw(self) -> "Bench":
        """The same with the model's poolings as its file has them."""
        return Bench(self.task, raw=True)

    @cached_property
    def float_file(self) -> Path:
        """The model's float32 .tflite."""
        used = {"code": code_sha256(__name__), "versions": versions("tensorflow", "tf-keras")}
        recipe = {"model": file_sha256(self.task.file), "raw": self.is_raw, **used}

        def make(folder: Path) -> None:
            (folder / "fp32.tflite").write_bytes(export.convert(self.model))

        file = artefact("qat_float", recipe, make) / "fp32.tflite"
        export.check(file, self.layers, [])
        return file


def parent(bench: Bench, threads: int) -> Answer:
    """The float model as it is: its Keras graph's answers and its file's."""
    test = bench.task.test.images
    found = {
        "float": answers.keras_probabilities(bench.model, test),
        "tflite": answers.tflite_probabilities(bench.float_file, test, threads),
    }
    return Answer(bench.float_file, found, {})


def tried(points: Iterable[Point], bench: Bench, threads: int) -> dict[Point, Answer]:
    """What each point gives; of one that cannot be made, such as where the converter does not do
    what is asked, the reason: `facts["failed"]`."""
    from tensorflow.lite.python.convert_phase import ConverterError

    found = {}
    for point in points:
        try:
            found[point] = answer(point, bench, threads)
        except (QlabError, RuntimeError, ValueError, ConverterError) as error:
            log.warning("%s is not there: %s", point.variant, error)
            found[point] = Answer(None, {}, {"failed": str(error)})
    return found


def answer(point: Point, bench: Bench, threads: int) -> Answer:
    """Make a point, or read it if it was made before.

    Probabilities on the test images: `float` of the trained weights without quantizers,
    `fake_quant` of the graph with tfmot's, `tflite` of the file. Raises `WrongTypes` where the
    file's weights are not as asked.
    QlabError: an unknown method.
    """
    if point.method not in METHODS:
        raise QlabError(f"The methods are {', '.join(METHODS)}; got '{point.method}'.")
    bench = bench.raw if point.raw else bench
    partial_qat.choose(bench.layers, point.where, point.k)
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
        file = folder / "model.tflite"
        probabilities, facts = _MAKERS[point.method](point, bench, file, threads)
        np.savez_compressed(folder / "probabilities.npz", **probabilities)
        (folder / "facts.json").write_text(json.dumps(facts, indent=1, sort_keys=True))

    folder = artefact("qat_point", recipe, make)
    with np.load(folder / "probabilities.npz") as kept:
        probabilities = dict(kept)
    file = folder / "model.tflite"
    facts = json.loads((folder / "facts.json").read_text())
    return Answer(file if file.is_file() else None, probabilities, facts)


Made = tuple[dict[str, np.ndarray], dict[str, Any]]  # arrays, and facts as JSON


def _ptq(point: Point, bench: Bench, file: Path, threads: int) -> Made:
    chosen = partial_qat.choose(bench.layers, point.where, point.k)
    images, left = bench.task.calibration.images, bench.task.leave_float
    how = (bench.float_file, chosen, point.bits, images, threads, left, point.rounding)
    file.write_bytes(ptq.quantize(*how))
    return {"tflite": _file_answers(file, bench, chosen, point.bits, threads)}, {}


def _tuned(point: Point, bench: Bench, file: Path, threads: int) -> Made:
    """Fine-tune with quantizers, or, as a control, without."""
    task, test = bench.task, bench.task.test.images
    chosen = partial_qat.choose(bench.layers, point.where, point.k)
    keras.utils.set_random_seed(point.seed)
    model = bench.quantized(point)
    if point.method == "qat":
        quantizers.calibrate(model, bench.model, task.calibration.images)
    fine_tune.compiled(model, task.training, bench.logits)
    facts = {"steps": task.training.steps(len(task.train))}
    steps = fine_tune.batches(task.train, task.training, point.seed)
    try:
        fine_tune.run(model, steps, task.training, len(task.train))
    except Diverged as error:
        return {}, facts | {"diverged_at_step": error.step}
    plain = partial_qat.plain(model, bench.model)
    found = {"float": answers.keras_probabilities(plain, test)}
    if chosen:
        found["fake_quant"] = answers.keras_probabilities(model, test)
    file.write_bytes(export.convert(model))
    found["tflite"] = _file_answers(file, bench, chosen, point.bits, threads)
    return found, facts


def _file_answers(
    file: Path, bench: Bench, chosen: list[str], bits: int, threads: int
) -> np.ndarray:
    """Check a file's weights, then its probabilities on the test images."""
    export.check(file, bench.layers, chosen, bits)
    return answers.tflite_probabilities(fast(file), bench.task.test.images, threads)


def fast(file: Path) -> Path:
    """The same file with its 4-bit weights, if it has any, in 8 bits, whose kernels are fast."""
    recipe = {"file": file_sha256(file), "code": code_sha256(tflite_graph.__name__)}

    def make(folder: Path) -> None:
        (folder / "model.tflite").write_bytes(tflite_graph.widened(file))

    return artefact("int4_widened", recipe, make) / "model.tflite"


_MAKERS = {"ptq": _ptq, "qat": _tuned, "qatcold": _tuned, "tuned": _tuned}
