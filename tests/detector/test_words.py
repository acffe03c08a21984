"""The sentences of notebook 01 say what made-up records say, and nothing where none were made."""

import pytest

from qlab.core import records
from qlab.core.records import Record
from qlab.detector import words
from qlab.detector.measure import EXPERIMENT, SUBPIXEL


def row(variant, metric, value, low=None, high=None, n=50, **more):
    return Record(EXPERIMENT, "m", "d", variant, metric, value, "1", low, high, n, **more)


def sizes_of(variant, plain, packed):
    return [row(variant, "size_bytes", plain), row(variant, "size_gzip_bytes", packed)]


def judged(variant, ap, low, high, lost=3):
    return [
        row(variant, "ap", 0.5 + ap, 0.4, 0.6),
        row(variant, "ap50", 0.7),
        row(variant, "ap_difference", ap, low, high),
        row(variant, "flips_lost", lost),
        row(variant, "flips_gained", 1),
        row(variant, "mcnemar_p", 0.625),
        row(variant, "detectable_difference", 0.0123),
    ]


PARENT = [row("fp32", "ap", 0.5, 0.4, 0.6), row("fp32", "ap50", 0.7)]


def test_sizes_are_shares_of_the_float_file_whichever_was_measured_first():
    given = sizes_of("int8_dynamic", 250, 200) + sizes_of("fp32", 1000, 800)
    shown = words.sizes(records.as_table(given))
    assert list(shown.index) == ["fp32", "int8_dynamic"]
    assert shown.loc["int8_dynamic"].tolist() == [250, 0.25, 200, 0.25]
    assert shown.loc["fp32"].tolist() == [1000, 1, 800, 1]


def test_a_ready_file_is_its_own_measure():
    shown = words.sizes(records.as_table(sizes_of("as_is", 10, 8)))
    assert shown.loc["as_is"].tolist() == [10, 1, 8, 1]


def test_accuracy_shows_differences_only_where_there_is_a_float_parent():
    given = [row("fp32", "ap", 0.1, 0.0, 0.2, condition="noise", strength=1)]
    given += judged("int8_static", -0.1, -0.2, -0.05) + PARENT
    shown = words.accuracy(records.as_table(given))
    assert list(shown.index) == ["fp32", "int8_static"]
    assert shown.loc["fp32", "AP"] == "0.500 [0.400, 0.600]"
    assert shown.loc["fp32", "AP minus float"] == shown.loc["fp32", "objects lost"] == ""
    line = shown.loc["int8_static"]
    assert line["AP minus float"] == "-0.100 [-0.200, -0.050]"
    assert (line["objects lost"], line["gained"], line["images"]) == (3, 1, 50)
    assert (line["McNemar p"], line["smallest detectable"]) == ("0.62", 0.0123)


def test_times_show_both_kernel_sets_and_the_ratio():
    given = []
    for variant, ms in (("int8_dynamic", 2.0), ("fp32", 4.0)):
        given += [row(variant, "latency_preprocess_ms_p50", 0.5)]
        given += [row(variant, "peak_memory_bytes", 2.5e8)]
        for name, factor in (("", 1), ("_builtin", 10)):
            given += [row(variant, f"latency{name}_ms_p50", ms * factor)]
            given += [row(variant, f"latency{name}_ms_p90", ms * factor + 1)]
    given += [row("int8_dynamic", "latency_ratio_p50", 0.5, 0.45, 0.55)]
    given += [row("int8_dynamic", "latency_builtin_ratio_p50", 0.6, 0.5, 0.7)]
    shown = words.times(records.as_table(given))
    assert shown.loc["fp32"].tolist() == [4, 5, "1", 40, 41, "1", 0.5, 250]
    assert shown.loc["int8_dynamic", "x float, XNNPACK"] == "0.50 [0.45, 0.55]"
    assert shown.loc["int8_dynamic", "x float, built-in"] == "0.60 [0.50, 0.70]"


def test_robustness_names_the_conditions_that_add_to_the_damage():
    values = {("noise", 1): (-0.2, -0.1), ("blur", 2): (-0.1, 0.0), ("jpeg", 3): (0.1, 0.2)}
    given = [
        row("int8_static", "ap_difference_extra", (a + b) / 2, a, b, condition=c, strength=s)
        for (c, s), (a, b) in values.items()
    ]
    noise = {"condition": "noise", "strength": 1}
    given.append(row("int8_static", "ap_difference", -0.9, -0.95, -0.8, **noise))
    assert words.robustness(records.as_table(given)) == [
        "int8_static loses more AP than on clean images in 1 of 3 corrupted conditions (noise1)."
    ]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.2, -0.05, "differs from"),
        (0.01, 0.02, "differs from"),
        (-0.2, 0.1, "cannot be told from"),
        (-0.2, 0.0, "cannot be told from"),
    ],
)
def test_a_difference_is_one_when_its_interval_leaves_zero(low, high, verdict):
    given = PARENT + judged("int8_static", (low + high) / 2, low, high)
    (said,) = words.findings(records.as_table(given))
    assert said.startswith(f"int8_static {verdict} fp32 in AP on 50 images: ")


def test_findings_go_as_far_as_the_records():
    given = sizes_of("fp32", 1000, 800) + sizes_of("fp16", 400, 390)
    given += [row(SUBPIXEL, "latency_builtin_ratio_p50", 0.5, 0.45, 0.55)]
    assert words.findings(records.as_table(given)) == [
        "fp16 is 2.50 times smaller than fp32 (bits alone would give 2).",
        f"{SUBPIXEL} takes 0.50 [0.45, 0.55] of fp32's time with the built-in kernels (50 rounds).",
    ]
    assert words.findings(records.as_table(sizes_of("as_is", 10, 8))) == []
    assert words.robustness(records.as_table(PARENT)) == []
