"""Two real workers send what the formula says."""

import numpy as np
import pytest

from qlab.classifier import export, network
from qlab.classifier.model import keras


def test_bytes_are_those_of_a_hand_count():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(5, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="dense")(keras.layers.Flatten()(x)))
    conv, depthwise = 3 * 3 * 3 * 5, 3 * 3 * 5 * 2
    for layers, bits, expected in [
        (["conv"], 32, 4 * (conv + 5)),
        (["conv"], 4, 68 + 4 * 5 + 4 * 5),  # 135 halves
        (["depthwise"], 8, depthwise + 4 * 10 + 4 * 10),
        (["conv", "norm"], 8, conv + 4 * 5 + 4 * 5 + 4 * 4 * 5),
    ]:
        assert export.update_bytes(model, layers, bits) == expected
    whole = export.analytic_bytes(model, ["conv", "depthwise"], {"depthwise": 4})
    assert whole == 4 * conv + depthwise // 2 + 4 * 10  # kernels and scales alone


@pytest.mark.slow
@pytest.mark.skipif(not network.possible(), reason="nobody may make a network namespace here")
def test_two_workers_send_the_gradients_and_the_ranges(tmp_path):
    """A float model, and the same with its last layer fake-quantized."""
    body = [
        keras.Input((32, 32, 3)),
        keras.layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(4, activation="softmax", name="dense"),
    ]
    keras.Sequential(body).save(tmp_path / "tiny.h5")
    plain, wrapped = network.measure(tmp_path / "tiny.h5", [(), ("dense",)])
    gradients = 4 * (32 * 32 * 8 * 4 + 4 + 3 * 3 * 3 * 8 + 2 * 8)
    assert plain["gradient_bytes"] == wrapped["gradient_bytes"] == gradients
    # Each quantizer of activations: minimum and maximum, a message of one float32 each.
    assert plain["messages"] == 1 and wrapped["messages"] > 1
    for sent in (plain, wrapped):
        ranges = 4 * (sent["messages"] - 1)
        assert sent["step_analytic_bytes"] == 2 * (gradients + ranges)
        assert len(sent["step_bytes"]) == network.STEPS
        assert 0 < np.median(sent["step_bytes"]) / sent["step_analytic_bytes"] - 1 < 0.1
