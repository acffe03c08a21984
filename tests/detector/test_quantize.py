"""Variants of a tiny CenterNet, as the notebook's cells make them, read back from the files."""

import re

import numpy as np
import pytest
from ai_edge_quantizer import qtyping, recipe
from notebook01 import CELLS

from qlab.core import tflite_graph
from qlab.core.errors import QlabError
from qlab.core.litert import interpreter
from qlab.core.tf import tf
from qlab.detector import measure, quantize, speed
from qlab.detector.detect import Detector

VARIANTS = ("fp32", "fp16", "int8_dynamic", "int8_dynamic_deconv_fp32", "int8_dynamic_subpixel")
VARIANTS += ("int8_static", "int8_selective")
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
    assert floats == set(tflite_graph.ends(tiny.float_file))


def test_the_ends_are_where_decoding_reads_the_network(tiny):
    """Scores, offsets and sizes: the last layers of the three heads, and all weights before."""
    heads = [n.split("/")[1] for n in tflite_graph.ends(tiny.float_file)]
    assert heads == ["heat", "offset", "size"]
    after = set(tiny.decoding)
    for o in tiny.operators:
        if o.kind in tflite_graph.WEIGHTED:
            assert not after & set(o.outputs)
        if o.kind in {"LOGISTIC", "TOPK_V2", "GATHER", "PACK"}:
            assert after >= set(o.outputs)


def test_deconv_fp32_leaves_only_the_transposed_convolutions_float(tiny):
    found = tflite_graph.weight_types(tiny.files["int8_dynamic_deconv_fp32"].read_bytes())
    float_ones = {n for n, (kind, _) in found.items() if kind == "FLOAT32"}
    assert float_ones == set(tiny.left(DECONV)) and len(found) > len(float_ones) > 0


def test_the_interface_stays_what_it_was(tiny):
    for variant, file in tiny.files.items():
        details = interpreter(file.read_bytes(), 1).get_signature_runner()
        assert details.get_input_details()["input_tensor"]["dtype"] == np.uint8
        kinds = {k: d["dtype"] for k, d in details.get_output_details().items()}
        assert set(kinds) == set(quantize.OUTPUTS), variant
        assert set(kinds.values()) == {np.float32}, variant


def test_a_rule_fits_one_operator_to_the_letter_with_all_its_outputs(tiny):
    """No other is left float whose name only begins alike, or has other letters for signs."""
    for o in tiny.operators:
        scopes = {"".join(f"{name};" for name in other.outputs): other for other in tiny.operators}
        assert [other for s, other in scopes.items() if re.search(o.rule, s)] == [o]
    odd = tflite_graph.Operator("CONV_2D", (), ("map/a.b(c)+d",)).rule
    for scope in ("map/a.b(c)+d1;", "x/map/a.b(c)+d;", "map/a_b(c)+d;", "map/a.b(c)+d;e;"):
        assert re.search(odd, "map/a.b(c)+d;") and not re.search(odd, scope)


def test_operators_of_several_outputs_stay_float_or_it_is_said(tiny):
    [several] = [o for o in tiny.operators if o.kind == "TOPK_V2"]
    assert len(several.outputs) == 2
    content = tiny.requantize(recipe.static_wi8_ai8(), several.outputs[:1])
    assert tflite_graph.tensor_types(content)[several.outputs[0]] == "FLOAT32"
    static = tiny.files["int8_static"].read_bytes()
    first = tiny.left("CONV_2D")[:1]
    with pytest.raises(QlabError, match=f"{first[0]} should be float and is INT8: the rule"):
        quantize.check(static, "INT8", first)


def test_what_adds_noise_by_itself_stays_float_and_what_noise_reached_does_not(tiny):
    """The floor's cell again, on noise made up: the first operator is noisy once mended."""
    [cell] = [c.source for c in CELLS if "FLOOR = " in c.source]
    names = dict(vars(tiny))
    names["alone"] = tiny.alone.assign(own_db=0, end_db=0, mended_db=20.1)
    names["alone"].loc[0, "mended_db"] = 19.9
    exec(cell, names)
    reads_decoding = [*tiny.decoding, *tflite_graph.ends(tiny.float_file)]
    relus = {o.outputs[0] for o in tiny.operators if o.kind == "RELU"}
    assert set(names["floats"]) == {*reads_decoding, tiny.alone["operator"][0], *relus}


def test_every_operator_runs_alone_and_computes_the_same(tiny):
    file = tiny.files["int8_static"]
    model = tflite_graph.read(file)
    spent = speed.time_operators(file, 1, True, repeats=2)
    kinds = [o.kind for o in tflite_graph.operators(file)]
    assert set(spent["kind"]) == set(kinds) and (spent["ms"] > 0).all()
    kept = interpreter(file.read_bytes(), 1, keep=True)
    kept.set_tensor(kept.get_input_details()[0]["index"], tiny.samples[0]["input_tensor"])
    kept.invoke()
    place = {t["name"]: t["index"] for t in kept.get_tensor_details()}
    index = kinds.index(DECONV)
    alone = interpreter(tflite_graph.single_operator(model, index), 1)
    entry = alone.get_input_details()[0]
    alone.set_tensor(entry["index"], kept.get_tensor(place[entry["name"]]))
    alone.invoke()
    got = alone.get_tensor(alone.get_output_details()[0]["index"])
    name = tflite_graph.operators(file)[index].outputs[0]
    np.testing.assert_array_equal(got, kept.get_tensor(place[name]))


def test_a_variant_that_litert_refuses_is_left_out_and_said(tiny, caplog):
    files = {v: tiny.folder / f"{v}.tflite" for v in ("fp32", "int16x8")}
    assert types(files["int16x8"])["CONV_2D"] >= {"INT16"}
    assert list(measure.running(files, 1)) == ["fp32"]
    assert "int16x8 is left out: LiteRT does not run it" in caplog.text


def test_a_file_is_what_its_name_says_or_is_refused(tiny):
    content = {v: f.read_bytes() for v, f in tiny.files.items()}
    assert set(content) == set(VARIANTS)
    assert DECONV not in types(tiny.files["int8_dynamic_subpixel"])
    for variant, kind in (("fp32", "FLOAT32"), ("fp16", "FLOAT16"), ("int8_dynamic", "INT8"),
                          ("int8_static", None)):  # fmt: skip
        assert quantize.check(content[variant], kind) is content[variant]
    deconv = "int8_dynamic_deconv_fp32"
    assert quantize.check(content[deconv], "INT8", tiny.left(DECONV)) is content[deconv]
    for variant, kind in (("fp32", "INT8"), ("fp16", "INT8"), ("fp16", "FLOAT32"),
                          ("int8_static", "INT4"), (deconv, "INT8")):  # fmt: skip
        with pytest.raises(QlabError, match=f"Weights should be {kind}, but .* operators have"):
            quantize.check(content[variant], kind)
    kinds = tflite_graph.weight_types(content["int8_dynamic"]).values()
    assert {n < quantize.SMALL for t, n in kinds if t == "FLOAT32"} == {True}


def test_a_recipe_that_does_not_fit_the_graph_is_refused(tiny):
    blocks = qtyping.QuantGranularity.BLOCKWISE_32
    rules = tiny.connected(4, "min_max_uniform_quantize", granularity=blocks)
    with pytest.raises(QlabError, match="quantized nothing here"):
        tiny.requantize(rules, kind=None)


def saved(folder, entry: str, kind: str):
    """A SavedModel with one input of shape [1, 4, 4, 3] and the output num_detections."""

    @tf.function(input_signature=[tf.TensorSpec((1, 4, 4, 3), kind, entry)])
    def serve(image):
        return {"num_detections": tf.cast(tf.size(image), tf.float32)}

    holder = tf.Module()
    holder.serve = serve
    tf.saved_model.save(holder, str(folder), signatures={"serving_default": serve})
    return folder


def test_bad_models_and_files_are_sentences(tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "saved_model.pb").write_bytes(b"\x08\x01garbage")
    (tmp_path / "bad.tflite").write_bytes(b"not a flatbuffer at all")
    other, floats = (saved(tmp_path / n, n, "float32") for n in ("features", "input_tensor"))
    lacking = saved(tmp_path / "lacking", "input_tensor", "uint8")
    for call, sentence in (
        (lambda: quantize.load(tmp_path / "none"), "SavedModel at .*none: .*does not exist"),
        (lambda: quantize.load(tmp_path / "bad"), "TensorFlow cannot load the SavedModel"),
        (lambda: quantize.load(other), "expected one input 'input_tensor', uint8 .* 'features'"),
        (lambda: quantize.load(floats), "found inputs 'input_tensor' float32"),
        (lambda: quantize.load(lacking), "found inputs .* and outputs num_detections"),
        (lambda: quantize.calibration_samples([]), "The calibration set is empty"),
        (lambda: Detector(tmp_path / "none.tflite", 1), "cannot be run by LiteRT: .* No such file"),
        (lambda: Detector(tmp_path / "bad.tflite", 1), "cannot be run by LiteRT"),
    ):
        with pytest.raises(QlabError, match=sentence):
            call()
