"""Noise in decibels, of quantized files and of single operators, on the tiny CenterNet."""

import numpy as np
import pytest
from ai_edge_quantizer import recipe

from qlab.core import litert, tflite_graph
from qlab.detector import noise


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
    runs = [
        litert.interpreter(f.read_bytes(), 1).get_signature_runner() for f in (float_file, int8)
    ]
    boxes = [[r(**s)["detection_boxes"] for s in tiny.samples[:2]] for r in runs]
    assert found.loc[name, "db"] == pytest.approx(noise.decibels(*boxes), abs=1e-4)
    assert set(found["n"]) == {2} and found.loc[name, "where"] == "decoding"
    assert {"GREATER_EQUAL", "FLOOR_MOD"}.isdisjoint(found["kind"])  # no floats
    assert found["depth"].is_monotonic_increasing and found["depth"].iloc[0] == 0


def test_one_operator_quantized_changes_only_what_comes_after_it(tiny):
    row = tiny.alone[tiny.alone["operator"].str.contains("offset_conv")].iloc[0]
    name, samples = row["operator"], tiny.samples[:2]
    made = noise.quantized(tiny.float_file, recipe.static_wi8_ai8(), tiny.ranges, tiny.RULE[name])
    written, after = [o.outputs[0] for o in tiny.operators], {name}
    for o in tiny.operators:
        after |= set(o.outputs) if after & set(o.inputs) else set()
    signal, noisy = (
        litert.values(c, written, samples, 1) for c in (tiny.float_file.read_bytes(), made)
    )
    changed = {n for n in written if not np.array_equal(signal[n], noisy[n])}
    assert name in changed and changed <= after
    own, *ends = (
        noise.decibels(signal[n], noisy[n]) for n in (name, *tflite_graph.ends(tiny.float_file))
    )
    assert row["own_db"] == pytest.approx(own) and row["end_db"] == pytest.approx(min(ends))
    assert ends[0] == ends[2] == 90 > ends[1]  # heat and size do not hang on it


def test_operators_that_the_rules_do_not_know_and_decoding_are_left_out(tiny):
    kinds = set(tiny.alone["kind"])
    assert "CAST" not in kinds and {"CONV_2D", "TRANSPOSE_CONV", "ADD"} <= kinds
    assert set(tiny.alone["where"]) == {"network"}
