"""Cells of notebook 01, run on a task of a test's: what is tested is what its reader sees."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import shown
from networks import centernet as tiny_network
from networks import lively

from qlab.detector import centernet
from qlab.detector.data import Parameters, Task
from qlab.detector.detect import Size
from qlab.tflite.keras import keras
from qlab.tflite.tf import tf

# What the cells are known by, in order: up to the functions that convert, and to the variants.
TOOLS = ("import COCOeval", "started = ", "def convert(", "float_file = ", "def calibrate(")
TOOLS += ("ranges = ", "def requantize(", "def weights_only(")
VARIANTS = ("VARIANTS = ", "arriving = ", "FLOOR = ", "def left(", "twin = ")


def run(task: Task, *wanted: str) -> SimpleNamespace:
    """What the cells that hold such texts define, `prepare`'s task given."""
    return shown.run("01_", *wanted, task=task, given=task.given)


def tiny_detector(folder: Path) -> SimpleNamespace:
    """What the cells make of a tiny CenterNet with lively weights: `files`, `alone` and more."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = lively(tiny_network(), rng)
    centernet.export(model, folder / "model")
    centernet.export(centernet.to_subpixel(model), folder / "subpixel")
    images = list(rng.integers(0, 256, (4, 64, 64, 3), np.uint8))
    saved = folder / "model", folder / "subpixel"
    task = Task(Parameters(profile="smoke", threads=1), "m", "d", *saved, Size(64, 64), None, {},
                images)  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLAB_HOME", str(folder))
        return run(task, *TOOLS, *VARIANTS)


def converted(folder: Path, function, shape: tuple[int, ...] = (1, 8, 8, 2)) -> Path:
    """A float .tflite of a function of one float tensor `x`, with a signature."""
    holder = tf.Module()
    holder.serve = tf.function(function, input_signature=[tf.TensorSpec(shape, name="x")])
    concrete = holder.serve.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], holder)
    (folder / "float.tflite").write_bytes(converter.convert())
    return folder / "float.tflite"
