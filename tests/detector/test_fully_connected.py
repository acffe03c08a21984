"""1x1 convolutions written as fully connected layers answer what they answered."""

from collections import Counter

import numpy as np
import pytest
from notebook01 import converted, tf

from qlab.core import tflite_graph
from qlab.detector import noise, quantize


def answers(content: bytes, names, samples) -> dict:
    return {n: np.stack(found) for n, found in noise.values(content, names, samples, 1).items()}


def kinds(file) -> Counter:
    return Counter(o.kind for o in tflite_graph.operators(file))


def test_a_detector_answers_the_same_and_keeps_its_other_convolutions(tiny, tmp_path):
    content = quantize.fully_connected(tiny.float_file)
    (tmp_path / "a.tflite").write_bytes(content)
    before, after = kinds(tiny.float_file), kinds(tmp_path / "a.tflite")
    assert before - after == Counter(CONV_2D=3)  # the last of each head
    assert after - before == Counter(FULLY_CONNECTED=3) and after["CONV_2D"] > 4
    ends = ["StatefulPartitionedCall:0", "StatefulPartitionedCall:2"]  # boxes, scores
    pair = (answers(c, ends, tiny.samples) for c in (tiny.float_file.read_bytes(), content))
    for mine, theirs in zip(*(p.values() for p in pair), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_only_one_by_one_of_stride_one_changes_and_activations_stay_fused(tmp_path):
    tf.random.set_seed(1)
    weights = [tf.random.normal((k, k, 2, 2)) for k in (1, 3, 1)]

    def serve(x):
        one = tf.nn.relu6(tf.nn.conv2d(x, 5 * weights[0], 1, "SAME") + [0.5, -0.5])
        three = tf.nn.relu(tf.nn.conv2d(one, weights[1], 1, "SAME"))
        return {"one": one, "last": tf.nn.conv2d(three, weights[2], 2, "SAME")}

    file = converted(tmp_path, serve)
    (tmp_path / "a.tflite").write_bytes(quantize.fully_connected(file))
    before, after = (tflite_graph.operators(f) for f in (file, tmp_path / "a.tflite"))
    assert [o.kind for o in after] == ["FULLY_CONNECTED", "CONV_2D", "CONV_2D"]
    assert [o.outputs for o in after] == [o.outputs for o in before]  # nothing was added
    samples = [{"x": np.random.default_rng(0).normal(0, 3, (1, 8, 8, 2)).astype(np.float32)}]
    names = [o.outputs[0] for o in before]
    mine, theirs = (answers(f.read_bytes(), names, samples) for f in (tmp_path / "a.tflite", file))
    assert theirs[names[0]].max() == 6 and theirs[names[0]].min() == 0
    for name in names:
        np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("strides", [(1, 1), (1, 2)])
@pytest.mark.parametrize("groups", [1, 2])
def test_weights_shared_by_layers_change_for_all_or_none_and_groups_stay(tmp_path, strides, groups):
    weights = tf.random.stateless_normal((1, 1, 2 // groups, 2), (0, 1))

    def serve(x):
        return {f"y{i}": tf.nn.conv2d(x + i, weights, s, "SAME") for i, s in enumerate(strides)}

    file = converted(tmp_path, serve)
    (tmp_path / "a.tflite").write_bytes(quantize.fully_connected(file))
    before, after = (tflite_graph.operators(f) for f in (file, tmp_path / "a.tflite"))
    layers = [o for o in before if o.kind == "CONV_2D"]
    assert len({o.inputs[1] for o in layers}) == 1 and len(layers) == 2
    turned = [o.kind for o in after].count("FULLY_CONNECTED")
    assert turned == (2 if groups == 1 and strides == (1, 1) else 0)
    names, samples = [o.outputs[0] for o in layers], [{"x": np.ones((1, 8, 8, 2), np.float32)}]
    mine, theirs = (answers(f.read_bytes(), names, samples) for f in (tmp_path / "a.tflite", file))
    for name in names:
        np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-5)
