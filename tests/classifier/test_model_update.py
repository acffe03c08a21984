"""A federated round's update: few bits, all of them counted, and read back within half a step."""

import io

import numpy as np
import pytest

from qlab.classifier import model_update
from qlab.core import tflite_graph


def read(message: bytes) -> dict[str, np.ndarray]:
    """The arrays of an update as float32, by `layer/variable`: what the other side has to do."""
    with np.load(io.BytesIO(message)) as found:
        arrays = {name: found[name] for name in found.files}
    for name in [n.removesuffix(":scale") for n in arrays if n.endswith(":scale")]:
        scales, shape = arrays.pop(f"{name}:scale"), arrays.pop(f"{name}:shape")
        packed, count = arrays[name], int(np.prod(shape))
        integers = packed if packed.dtype == np.int8 else tflite_graph.unpacked4(packed, count)
        arrays[name] = (integers.reshape(-1, len(scales)) * scales).reshape(shape)
    return arrays


@pytest.fixture(scope="module")
def model():
    from qlab.classifier.model import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(5, 3, name="conv", bias_initializer="normal")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="dense")(x))


def test_bytes_are_those_of_a_hand_count(model):
    conv, norm, depthwise = 3 * 3 * 3 * 5, 4 * 5, 3 * 3 * 5 * 2
    assert model_update.update_bytes(model, ["conv"], 32) == 4 * (conv + 5)
    assert model_update.update_bytes(model, ["conv"], 8) == conv + 4 * 5 + 4 * 5
    assert model_update.update_bytes(model, ["conv"], 4) == 68 + 4 * 5 + 4 * 5  # 135 halves
    assert model_update.update_bytes(model, ["norm"], 4) == 4 * norm
    assert model_update.update_bytes(model, ["depthwise"], 8) == depthwise + 4 * 10 + 4 * 10
    both = model_update.update_bytes(model, ["conv", "norm"], 8)
    assert both == sum(model_update.update_bytes(model, [name], 8) for name in ("conv", "norm"))


@pytest.mark.parametrize("bits", [4, 8, 32])
def test_a_message_holds_what_was_counted_and_comes_back(model, bits):
    layers = ["conv", "norm", "depthwise", "dense"]
    message = model_update.serialized_update(model, layers, bits)
    counted = model_update.update_bytes(model, layers, bits)
    assert counted < len(message) < counted + 16 * 300  # the names and headers of npz
    assert message == model_update.serialized_update(model, layers, bits)
    back = read(message)
    assert len(back) == sum(len(model.get_layer(name).weights) for name in layers)
    for layer in layers:
        for variable in model.get_layer(layer).weights:
            name = f"{layer}/{variable.name.split('/')[-1].split(':')[0]}"
            meant, found = variable.numpy(), back[name]
            assert found.dtype == np.float32 and found.shape == meant.shape
            steps = 2 ** (bits - 1) - 1
            worst = 0 if bits == 32 or not name.endswith("kernel") else np.abs(meant).max() / steps
            assert np.abs(found - meant).max() <= worst / 2 + 1e-7


def test_each_output_channel_has_its_own_scale_and_one_of_zeros_stays_zero(model):
    layer = model.get_layer("conv")
    kernel, bias = layer.get_weights()
    kernel[..., 1] = 0
    layer.set_weights([kernel, bias])
    back = read(model_update.serialized_update(model, ["conv"], 4))["conv/kernel"]
    tops = [np.abs(weights).max((0, 1, 2)) for weights in (kernel, back)]
    np.testing.assert_allclose(*tops, rtol=1e-6)
    assert not back[..., 1].any()
