"""1x1 convolutions written as fully connected layers answer what they answered."""

import numpy as np
import pytest
from notebook01 import converted, tf

from qlab.core import litert, tflite_graph
from qlab.detector import quantize


def compared(folder, function):
    """Kinds of operators after, and the convolutions' answers before and after."""
    file = converted(folder, function)
    (folder / "a.tflite").write_bytes(quantize.fully_connected(file))
    before, after = (tflite_graph.operators(f) for f in (file, folder / "a.tflite"))
    assert [o.outputs for o in after] == [o.outputs for o in before]  # nothing was added
    names = [o.outputs[0] for o in before if o.kind == "CONV_2D"]
    samples = [{"x": np.random.default_rng(0).normal(0, 3, (1, 8, 8, 2)).astype(np.float32)}]
    pair = (
        np.concatenate(
            [np.ravel(a) for a in litert.values(f.read_bytes(), names, samples, 1).values()]
        )
        for f in (file, folder / "a.tflite")
    )
    np.testing.assert_allclose(*pair, rtol=1e-5, atol=1e-5)
    return before, [o.kind for o in after]


def test_only_one_by_one_of_stride_one_changes_and_activations_stay_fused(tmp_path):
    tf.random.set_seed(1)
    weights = [tf.random.normal((k, k, 2, 2)) for k in (1, 3, 1)]

    def serve(x):
        one = tf.nn.relu6(tf.nn.conv2d(x, 5 * weights[0], 1, "SAME") + [0.5, -0.5])
        three = tf.nn.relu(tf.nn.conv2d(one, weights[1], 1, "SAME"))
        return {"one": one, "last": tf.nn.conv2d(three, weights[2], 2, "SAME")}

    assert compared(tmp_path, serve)[1] == ["FULLY_CONNECTED", "CONV_2D", "CONV_2D"]


@pytest.mark.parametrize(
    ("strides", "groups", "turned"), [((1, 1), 1, 2), ((1, 2), 1, 0), ((1, 1), 2, 0)]
)
def test_weights_shared_by_layers_change_for_all_or_none_and_groups_stay(
    tmp_path, strides, groups, turned
):
    weights = tf.random.stateless_normal((1, 1, 2 // groups, 2), (0, 1))

    def serve(x):
        return {f"y{i}": tf.nn.conv2d(x + i, weights, s, "SAME") for i, s in enumerate(strides)}

    before, kinds = compared(tmp_path, serve)
    assert len({o.inputs[1] for o in before if o.kind == "CONV_2D"}) == 1
    assert kinds.count("FULLY_CONNECTED") == turned
