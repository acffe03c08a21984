"""Cells of notebook 01, run on a task of a test's: what is tested is what its reader sees."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import shown

from qlab.core.keras import keras
from qlab.core.tf import tf
from qlab.detector import centernet
from qlab.detector.data import Parameters, Task
from qlab.detector.detect import Size

# What the cells are known by, in order: up to the functions that convert, and to the variants.
TOOLS = ("import COCOeval", "started = ", "def convert(", "float_file = ", "def calibrate(")
TOOLS += ("ranges = ", "def requantize(", "def weights_only(")
VARIANTS = ("VARIANTS = ", "arriving = ", "FLOOR = ", "def left(", "twin = ")


def run(task: Task, *wanted: str) -> SimpleNamespace:
    """What the cells that hold such texts define, `prepare`'s task given."""
    return shown.run("01_", *wanted, task=task, given=task.given)


def network():
    """A tiny CenterNet: a residual block, a transposed convolution, three heads."""
    layers = keras.layers
    image = keras.Input((64, 64, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = layers.Conv2D(8, 7, 2, "same", name="stem")(x)
    x = layers.ReLU()(layers.BatchNormalization()(layers.MaxPooling2D(3, 2, "same")(x)))
    y = layers.Conv2D(16, 3, 2, "same", use_bias=False, name="block")(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Conv2D(16, 3, padding="same")(y)
    x = layers.ReLU()(layers.Add()([y, layers.Conv2D(16, 1, 2, name="shortcut")(x)]))
    x = layers.Conv2DTranspose(16, 4, 2, "same", use_bias=False, name="neck_deconv")(x)
    x = layers.ReLU(name="neck_relu")(layers.BatchNormalization(name="neck_bn")(x))
    maps = {}
    for name, channels in (("heat", 3), ("size", 2), ("offset", 2)):
        hidden = layers.Conv2D(16, 3, 1, "same", activation="relu", name=f"{name}_conv")(x)
        maps[name] = layers.Conv2D(channels, 1, name=name)(hidden)
    return keras.Model(image, maps, name="centernet")


def tiny_detector(folder: Path) -> SimpleNamespace:
    """What the cells make of a tiny CenterNet with lively weights: `files`, `alone` and more."""
    keras.utils.set_random_seed(0)
    model, rng = network(), np.random.default_rng(0)
    for layer in model.layers:  # fresh batch normalization is the identity, which no network has
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
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
