"""Two real workers send what the formula says; a worker that fails is told of."""

from pathlib import Path

import numpy as np
import pytest

from qlab.classifier import network
from qlab.classifier.network import Configuration
from qlab.core.errors import QlabError
from qlab.core.labelled_images import LabelledImages

needs_namespace = pytest.mark.skipif(
    not network.possible(), reason="this machine lets nobody make a network namespace"
)


def tiny_images() -> LabelledImages:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    return LabelledImages(images, rng.integers(0, 4, 24), ("a", "b", "c", "d"))


def tiny_model(folder: Path) -> Path:
    """An .h5 file: a convolution with batch normalization, and a dense layer; 33,012 weights."""
    from qlab.classifier.model import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Flatten(name="flat")(keras.layers.ReLU(name="relu")(x))
    x = keras.layers.Dense(4, activation="softmax", name="dense")(x)
    keras.Model(inputs, x).save(folder / "tiny.h5")
    return folder / "tiny.h5"


def test_bytes_of_an_update_are_those_of_a_hand_count():
    from qlab.classifier.model import keras

    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(5, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="dense")(keras.layers.Flatten()(x)))
    conv, norm, depthwise = 3 * 3 * 3 * 5, 4 * 5, 3 * 3 * 5 * 2
    assert network.update_bytes(model, ["conv"], 32) == 4 * (conv + 5)
    assert network.update_bytes(model, ["conv"], 8) == conv + 4 * 5 + 4 * 5
    assert network.update_bytes(model, ["conv"], 4) == 68 + 4 * 5 + 4 * 5  # 135 halves
    assert network.update_bytes(model, ["norm"], 4) == 4 * norm
    assert network.update_bytes(model, ["depthwise"], 8) == depthwise + 4 * 10 + 4 * 10
    both = network.update_bytes(model, ["conv", "norm"], 8)
    assert both == sum(network.update_bytes(model, [name], 8) for name in ("conv", "norm"))


@pytest.mark.slow
@needs_namespace
def test_two_workers_send_the_gradients_of_what_is_trained(tmp_path):
    """A float model; only its last layer trained; the same, fake-quantized."""
    configurations = [
        Configuration(),
        Configuration(trained=("dense",)),
        Configuration(layers=("dense",), trained=("dense",)),
    ]
    every, last, wrapped = network.measure(tiny_model(tmp_path), configurations, tiny_images())
    dense = 4 * (32 * 32 * 8 * 4 + 4)
    assert last.gradient_bytes == wrapped.gradient_bytes == dense
    assert every.gradient_bytes == dense + 4 * (3 * 3 * 3 * 8 + 2 * 8)
    assert (every.messages, last.messages) == (1, 1)
    # Each quantizer of activations: minimum and maximum, a message of one float32 each.
    assert wrapped.messages > 1
    ranges = (0, 0, 4 * (wrapped.messages - 1))
    for traffic, more in zip((every, last, wrapped), ranges, strict=True):
        assert traffic.analytic_bytes == 2 * (traffic.gradient_bytes + more)
        assert len(traffic.step_bytes) == network.STEPS
        assert 0 < np.median(traffic.step_bytes) / traffic.analytic_bytes - 1 < 0.1


@pytest.mark.slow
@needs_namespace
def test_a_worker_that_fails_is_told_of(tmp_path):
    with pytest.raises(QlabError, match=r"two workers failed. .*There is no model at .*none\.h5"):
        network.measure(tmp_path / "none.h5", [Configuration()], tiny_images())
