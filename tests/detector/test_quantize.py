"""Variants of a tiny CenterNet, as the notebook's cells make them, read back; their noise."""

import re

import numpy as np
import pytest
import shown
from ai_edge_quantizer import qtyping, recipe
from notebook01 import converted

from qlab.core.errors import QlabError
from qlab.detector import noise, quantize
from qlab.detector.detect import Detector
from qlab.tflite import graph as tflite_graph
from qlab.tflite.litert import interpreter, values
from qlab.tflite.tf import tf

DECONV = "TRANSPOSE_CONV"


def types(file) -> dict[str, set]:
    """Data types of the operators' outputs, by operator kind, read from the file."""
    found, of = {}, tflite_graph.tensor_types(file)
    for o in tflite_graph.operators(file):
        found.setdefault(o.kind, set()).add(of[o.outputs[0]])
    return found


def test_static_is_int8_throughout_and_selective_only_up_to_the_ends(tiny):
    static, selective = (types(tiny.files[v]) for v in ("int8_static", "int8_selective"))
    assert static["CONV_2D"] == static[DECONV] == selective[DECONV] == {"INT8"}
    for kind in ("LOGISTIC", "CONCATENATION", "SELECT_V2"):
        assert static[kind] == {"INT8"} and selective[kind] == {"FLOAT32"}
    of = tflite_graph.tensor_types(tiny.files["int8_selective"])
    convolutions = {o.outputs[0] for o in tiny.operators if o.kind == "CONV_2D"}
    floats = {name for name in convolutions if of[name] == "FLOAT32"}
    assert floats == set(ends := tflite_graph.ends(tiny.float_file))
    # Where decoding reads the network: the last layers of the three heads.
    assert [n.split("/")[1] for n in ends] == ["heat", "offset", "size"]


def test_a_rule_fits_one_operator_to_the_letter_with_all_its_outputs(tiny):
    """No other is left float whose name only begins alike, or has other letters for signs."""
    for o in tiny.operators:
        scopes = {"".join(f"{name};" for name in other.outputs): other for other in tiny.operators}
        assert [other for s, other in scopes.items() if re.search(o.rule, s)] == [o]
    odd = tflite_graph.Operator("CONV_2D", (), ("map/a.b(c)+d",)).rule
    for scope in ("map/a.b(c)+d1;", "x/map/a.b(c)+d;", "map/a_b(c)+d;", "map/a.b(c)+d;e;"):
        assert re.search(odd, "map/a.b(c)+d;") and not re.search(odd, scope)
    [several] = [o for o in tiny.operators if o.kind == "TOPK_V2"]
    assert len(several.outputs) == 2
    content = tiny.requantize(recipe.static_wi8_ai8(), several.outputs[:1])
    assert tflite_graph.tensor_types(content)[several.outputs[0]] == "FLOAT32"


def test_decibels_are_of_power_and_know_no_scale():
    signal = [np.array([3.0, -4.0]), np.array([0.0, 12.0])]
    noisy = [a + b for a, b in zip(signal, ([0.1, 0], [0, -1.2]), strict=True)]
    expected = 10 * np.log10(169 / 1.45)  # powers added up over the samples, then divided
    for scale in (1, 1e-20):
        pair = ([a * scale for a in arrays] for arrays in (signal, noisy))
        assert noise.decibels(*pair) == pytest.approx(expected)
    assert noise.decibels(signal, signal) == 90
    assert noise.decibels(signal, [0 * a for a in signal]) == 0
    assert noise.decibels([np.zeros(3)], [np.ones(3)]) == -90  # noise where there was nothing
    assert np.isnan(noise.decibels([np.zeros(3)], [np.zeros(3)]))


def test_what_arrives_is_the_difference_of_the_two_files(tiny):
    """Of an output that both interpreters give without any debugging, by hand."""
    float_file, int8 = tiny.float_file, tiny.files["int8_static"]
    found = noise.arriving(float_file, int8, tiny.samples[:2], 1).set_index("operator")
    name = "StatefulPartitionedCall:0"  # the boxes
    runs = [interpreter(f.read_bytes(), 1).get_signature_runner() for f in (float_file, int8)]
    boxes = [[r(**s)["detection_boxes"] for s in tiny.samples[:2]] for r in runs]
    assert found.loc[name, "db"] == pytest.approx(noise.decibels(*boxes), abs=1e-4)
    assert set(found["n"]) == {2} and found.loc[name, "where"] == "decoding"
    assert {"GREATER_EQUAL", "FLOOR_MOD"}.isdisjoint(found["kind"])  # no floats
    assert found["depth"].is_monotonic_increasing and found["depth"].iloc[0] == 0


def test_one_operator_quantized_changes_only_what_comes_after_it(tiny):
    assert set(tiny.alone["where"]) == {"network"} and "CAST" not in set(tiny.alone["kind"])
    row = tiny.alone[tiny.alone["operator"].str.contains("offset_conv")].iloc[0]
    name, samples = row["operator"], tiny.samples[:2]
    made = noise.quantized(tiny.float_file, recipe.static_wi8_ai8(), tiny.ranges, tiny.RULE[name])
    written, after = [o.outputs[0] for o in tiny.operators], {name}
    for o in tiny.operators:
        after |= set(o.outputs) if after & set(o.inputs) else set()
    signal, noisy = (values(c, written, samples, 1) for c in (tiny.float_file.read_bytes(), made))
    changed = {n for n in written if not np.array_equal(signal[n], noisy[n])}
    assert name in changed and changed <= after
    own, *ends = (
        noise.decibels(signal[n], noisy[n]) for n in (name, *tflite_graph.ends(tiny.float_file))
    )
    assert row["own_db"] == pytest.approx(own) and row["end_db"] == pytest.approx(min(ends))
    assert ends[0] == ends[2] == 90 > ends[1]  # heat and size do not hang on it


def test_what_adds_noise_by_itself_stays_float_and_what_noise_reached_does_not(tiny):
    """The floor's cell again, on noise made up: the first operator is noisy once mended."""
    alone = tiny.alone.assign(own_db=0, end_db=0, mended_db=20.1)
    alone.loc[0, "mended_db"] = 19.9
    floats = shown.run("01_", "FLOOR = ", **vars(tiny) | {"alone": alone}).floats
    reads_decoding = [*tiny.decoding, *tflite_graph.ends(tiny.float_file)]
    relus = {o.outputs[0] for o in tiny.operators if o.kind == "RELU"}
    assert set(floats) == {*reads_decoding, tiny.alone["operator"][0], *relus}


def test_a_file_is_what_its_name_says_or_is_refused(tiny):
    content, deconv = {v: f.read_bytes() for v, f in tiny.files.items()}, "int8_dynamic_deconv_fp32"
    assert DECONV not in types(tiny.files["int8_dynamic_subpixel"])
    right = {"fp32": "FLOAT32", "fp16": "FLOAT16", "int8_dynamic": "INT8", "int8_static": None}
    for variant, kind in right.items():
        assert quantize.check(content[variant], kind) is content[variant]
    assert quantize.check(content[deconv], "INT8", tiny.left(DECONV)) is content[deconv]
    wrong = {"fp32": "INT8", "fp16": "FLOAT32", "int8_static": "INT4", deconv: "INT8"}
    for variant, kind in wrong.items():
        with pytest.raises(QlabError, match=f"Weights should be {kind}, but .* operators have"):
            quantize.check(content[variant], kind)
    first = tiny.left("CONV_2D")[:1]
    with pytest.raises(QlabError, match=f"{first[0]} should be float and is INT8: the rule"):
        quantize.check(content["int8_static"], "INT8", first)
    blocks = qtyping.QuantGranularity.BLOCKWISE_32  # for which the graph is too narrow
    rules = tiny.connected(4, "min_max_uniform_quantize", granularity=blocks)
    with pytest.raises(QlabError, match="quantized nothing here"):
        tiny.requantize(rules, kind=None)


def test_bad_models_and_files_are_sentences(tmp_path):
    other = tf.Module()
    spec = tf.TensorSpec((1, 4, 4, 3), tf.float32, "features")
    other.serve = tf.function(lambda image: {"y": image}, input_signature=[spec])
    tf.saved_model.save(other, str(tmp_path / "other"), signatures={"serving_default": other.serve})
    (tmp_path / "bad.tflite").write_bytes(b"not a flatbuffer at all")
    for call, sentence in (
        (lambda: quantize.load(tmp_path / "none"), "SavedModel at .*none: .*does not exist"),
        (lambda: quantize.load(tmp_path / "other"), "'features' float32 .* and outputs y"),
        (lambda: Detector(tmp_path / "none.tflite", 1), "cannot be run by LiteRT: .* No such file"),
        (lambda: Detector(tmp_path / "bad.tflite", 1), "cannot be run by LiteRT"),
    ):
        with pytest.raises(QlabError, match=sentence):
            call()


def test_only_one_by_one_of_stride_one_changes_with_all_that_share_its_weights(tmp_path):
    """Activations stay fused, grouped ones as they are, and answers the same."""
    tf.random.set_seed(1)
    kernels = [(1, 1, 2, 2), (3, 3, 2, 2), (1, 1, 2, 2), (1, 1, 2, 2), (1, 1, 1, 2)]
    first, three, pair, mixed, grouped = map(tf.random.normal, kernels)
    others = [(three, 1), (pair, 1), (pair, 1), (mixed, 1), (mixed, [1, 2]), (grouped, 1)]

    def serve(x):
        one = tf.nn.relu6(tf.nn.conv2d(x, 5 * first, 1, "SAME") + [0.5, -0.5])
        made = [tf.nn.conv2d(one + i, w, s, "SAME") for i, (w, s) in enumerate(others)]
        return {"one": one, **{f"y{i}": tf.nn.relu(y) for i, y in enumerate(made)}}

    file, changed = converted(tmp_path, serve), tmp_path / "a.tflite"
    changed.write_bytes(quantize.fully_connected(file))
    before, after = (tflite_graph.operators(f) for f in (file, changed))
    assert [o.outputs for o in after] == [o.outputs for o in before]  # nothing was added
    weights = {o.outputs[0]: o.inputs[1] for o in before if o.kind == "CONV_2D"}
    assert (len(weights), len({*weights.values()})) == (7, 5)
    turned = [weights[o.outputs[0]] for o in after if o.kind == "FULLY_CONNECTED"]
    assert len(turned) == 3 and len({*turned}) == 2  # the first, and the pair
    samples = [{"x": np.random.default_rng(0).normal(0, 3, (1, 8, 8, 2)).astype(np.float32)}]
    was, now = (values(f.read_bytes(), [*weights], samples, 1) for f in (file, changed))
    for name in weights:
        np.testing.assert_allclose(now[name], was[name], rtol=1e-5, atol=1e-5)
