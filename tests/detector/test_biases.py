"""Biases beyond 32 bits, in small graphs with one filter next to zero: found, and mended."""

import numpy as np
import pytest
from ai_edge_quantizer import qtyping, quantizer, recipe
from notebook01 import converted, tf

from qlab.detector import biases
from qlab.tflite import graph as tflite_graph
from qlab.tflite import litert
from qlab.tflite.litert import quiet_quantizer

RNG = np.random.default_rng(0)
SAMPLES = [{"x": RNG.uniform(-1, 1, (1, 8, 8, 2)).astype(np.float32)} for _ in range(4)]
RULES = {8: recipe.static_wi8_ai8(), 16: recipe.static_wi8_ai16()}
KINDS = ["CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"]


def layers(dead: float, bias: float = 1.0):
    """Four layers of two channels, side by side; the weights of the second are next to zero."""
    tf.random.set_seed(0)
    weights, channel = tf.random.uniform((3, 3, 2, 2), -0.2, 0.2), tf.constant([1, dead])
    added = tf.constant([0.25, bias])

    def serve(x):
        own = tf.nn.depthwise_conv2d(x, (weights * channel[:, None])[..., :1], [1] * 4, "SAME")
        back = tf.nn.conv2d_transpose(x, weights * channel[:, None], (1, 16, 16, 2), 2)
        flat = tf.matmul(tf.reshape(x, (64, 2)), weights[0, 0] * channel)
        plain = tf.nn.conv2d(x, weights * channel, 1, "SAME")
        return dict(zip(KINDS, (y + added for y in (plain, own, back, flat)), strict=True))

    return serve


def quantized(file, bits: int) -> bytes:
    made = quantizer.Quantizer(str(file))
    made.load_quantization_recipe(RULES[bits])
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        made.update_quantization_recipe(".*", end, algorithm_key="no_quantize")
    with quiet_quantizer():
        ranges = made.calibrate({tflite_graph.SIGNATURE: SAMPLES})
        return bytes(made.quantize(ranges).quantized_model)


@pytest.fixture(scope="module", params=[8, 16])
def dead(request, tmp_path_factory):
    """Such a graph in float and quantized, and the bits of its activations."""
    folder = tmp_path_factory.mktemp("biases")
    file = converted(folder, layers(1e-9))
    (folder / "q.tflite").write_bytes(quantized(file, request.param))
    return file, folder / "q.tflite", request.param


def off(content: bytes, file) -> dict[str, np.ndarray]:
    """How far answers are from the float file's, by layer: [samples, ..., channels]."""
    names = [o.outputs[0] for o in tflite_graph.operators(file) if o.kind in KINDS]
    ours, floats = (litert.values(c, names, SAMPLES, 1) for c in (content, file.read_bytes()))
    return {n: np.abs(np.stack(ours[n]) - np.stack(floats[n])) for n in names}


def test_exactly_the_dead_filters_are_found(dead):
    file, made, _ = dead
    found = biases.cut_off(made, file)
    assert sorted(found["kind"]) == sorted(KINDS)
    assert (found["channels"] == 2).all() and (found["cut"] == 1).all()
    steps = 1 / (found["input_scale"] * found["least_scale"])  # the bias is 1
    np.testing.assert_allclose(found["most_steps"], steps, rtol=1e-6)
    assert biases.cut_off(file, file).empty  # a float file has no integer biases


def test_a_mended_channel_answers_again_and_the_others_as_before(dead, tmp_path):
    """A file whose biases fit is returned as it is."""
    file, made, bits = dead
    content, step = made.read_bytes(), tflite_graph.tensor_scales(made)
    whole = biases.mended(content, file)
    assert biases.mended(whole, file) is whole
    cut, mended = (off(c, file) for c in (content, whole))
    assert len(cut) == len(KINDS)
    for name in cut:
        assert cut[name][..., 1].min() > 0.1, name
        assert mended[name][..., 1].max() <= step[name], name
        np.testing.assert_array_equal(mended[name][..., 0], cut[name][..., 0], name)
    usual = converted(tmp_path, layers(1.0))
    content = quantized(usual, bits)
    assert biases.mended(content, usual) is content


def filters(content: bytes) -> dict[str, np.ndarray]:
    """What integer weights stand for, by operator, [channels, the rest]."""
    held, found = litert.interpreter(content, 1), {}
    tensors = {tensor["name"]: tensor for tensor in held.get_tensor_details()}
    for o in (o for o in tflite_graph.operators(content) if o.kind in KINDS):
        tensor = tensors[o.inputs[1]]
        how, codes = tensor["quantization_parameters"], held.get_tensor(tensor["index"])
        codes = np.moveaxis(codes, how["quantized_dimension"], 0).reshape(2, -1)
        found[o.outputs[0]] = codes * how["scales"].astype(float)[:, None]
    return found


@pytest.mark.parametrize("bits", [8, 16])
def test_what_a_mended_filter_no_longer_says_is_below_the_bound(bits, tmp_path):
    """The worst case: biases a little beyond 2^31 steps. K weights lose 2^14 K of 2^30 steps."""
    step, most = (2 / 255, 255) if bits == 8 else (1 / 32767, 2**15)
    file = converted(tmp_path, layers(127 / (0.2 * step * biases.LIMIT)))
    content = quantized(file, bits)
    (tmp_path / "q.tflite").write_bytes(content)
    assert (biases.cut_off(tmp_path / "q.tflite", file)["most_steps"] < 2 * biases.LIMIT).all()
    said, mended = filters(content), filters(biases.mended(content, file))
    assert len(said) == 4
    for name, weights in said.items():
        lost = np.abs(weights - mended[name]) * most * step
        assert 0 == lost[0].max() < lost[1].sum() <= 2**14 * lost[1].size / biases.ROOM, name


@pytest.mark.parametrize("bits", [8, 16])
def test_layers_that_share_weights_are_mended_each(bits, tmp_path):
    """Two layers with one filter, the second's input a hundredth."""
    tf.random.set_seed(0)
    weights = tf.random.uniform((3, 3, 2, 2), -0.2, 0.2) * tf.constant([1, 1e-9])

    def serve(x):
        pair = {"a": x, "b": tf.nn.relu(0.01 * x)}
        return {k: tf.nn.conv2d(v, weights, 1, "SAME") + [1, 0.25] for k, v in pair.items()}

    file = converted(tmp_path, serve)
    mended = biases.mended(quantized(file, bits), file)
    found = off(mended, file)
    assert len(found) == 2
    for one in found.values():
        # Calibration clips the first's ends.
        assert np.median(one[..., 0]) < 0.01 > one[..., 1].max()
    assert biases.mended(mended, file) is mended
