"""Noise in decibels, of quantized files and of single operators, on the tiny CenterNet."""

import numpy as np
import pytest
from ai_edge_quantizer import recipe

from qlab.core import litert, tflite_graph
from qlab.core.litert import interpreter
from qlab.detector import noise

RULES = recipe.static_wi8_ai8()


def test_decibels_are_of_power_and_know_no_scale():
    signal = [np.array([3.0, -4.0]), np.array([0.0, 12.0])]
    noisy = [a + b for a, b in zip(signal, ([0.1, 0], [0, -1.2]), strict=True)]
    expected = 10 * np.log10(169 / 1.45)  # powers added up over the samples, then divided
    assert noise.decibels(signal, noisy) == pytest.approx(expected)
    scaled = ([a * 1e-20 for a in arrays] for arrays in (signal, noisy))
    assert noise.decibels(*scaled) == pytest.approx(expected)
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
    numbers = {o.outputs[0]: o.kind for o in tiny.operators}
    assert {numbers[name] for name in found.index}.isdisjoint({"GREATER_EQUAL", "FLOOR_MOD"})
    assert found["depth"].is_monotonic_increasing and found["depth"].iloc[0] == 0


def after(operators, name: str) -> set[str]:
    """The tensors that hang on a tensor, itself among them."""
    reached = {name}
    for o in operators:
        if reached & set(o.inputs):
            reached |= set(o.outputs)
    return reached


def test_one_operator_quantized_changes_only_what_comes_after_it(tiny):
    row = tiny.alone[tiny.alone["operator"].str.contains("offset_conv")].iloc[0]
    name, samples = row["operator"], tiny.samples[:2]
    made = noise.quantized(tiny.float_file, RULES, tiny.ranges, tiny.RULE[name])
    written = [o.outputs[0] for o in tiny.operators]
    signal, noisy = (
        litert.values(c, written, samples, 1) for c in (tiny.float_file.read_bytes(), made)
    )
    changed = {n for n in written if not np.array_equal(signal[n], noisy[n])}
    assert name in changed and changed <= after(tiny.operators, name)
    own, *ends = (
        noise.decibels(signal[n], noisy[n]) for n in (name, *tflite_graph.ends(tiny.float_file))
    )
    assert row["own_db"] == pytest.approx(own) and row["end_db"] == pytest.approx(min(ends))
    assert ends[0] == ends[2] == 90 > ends[1]  # heat and size do not hang on it


def test_operators_that_the_rules_do_not_know_and_decoding_are_left_out(tiny):
    kinds = set(tiny.alone["kind"])
    assert "CAST" not in kinds and {"CONV_2D", "TRANSPOSE_CONV", "ADD"} <= kinds
    assert set(tiny.alone["where"]) == {"network"}
    [deconv], content = tiny.left("TRANSPOSE_CONV"), tiny.float_file.read_bytes()
    octav = tiny.weights_only(4, "OCTAV")  # knows no transposed ones
    made = noise.quantized(tiny.float_file, octav, {}, tiny.RULE[deconv])
    assert tflite_graph.tensor_types(made) == tflite_graph.tensor_types(content)


def test_a_whole_file_is_noisier_at_the_ends_than_any_operator_alone(tiny):
    """Noise adds up on its way, so what arrives is no operator's own."""
    arriving = tiny.arriving.set_index("operator")["db"]
    assert min(arriving[n] for n in tflite_graph.ends(tiny.float_file)) < tiny.alone["end_db"].min()
    own = tiny.alone.set_index("operator")["own_db"]
    assert (own > arriving.reindex(own.index) - 1).mean() > 0.9


def test_what_was_found_is_kept_and_found_again_for_the_same_question(tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    asked = []
    real = noise.quantized
    monkeypatch.setattr(noise, "quantized", lambda *a: asked.append(a[-1]) or real(*a))
    rules = tiny.weights_only(8, "OCTAV")
    first, again = (noise.alone(tiny.float_file, rules, {}, tiny.samples[:1]) for _ in "12")
    assert first.equals(again) and len(asked) == len(set(asked)) > 10
    other = noise.alone(tiny.float_file, rules, {}, tiny.samples[1:2])
    assert not other.equals(first) and len(asked) == 2 * len(set(asked))
