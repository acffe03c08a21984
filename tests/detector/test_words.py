"""The sentences of notebook 01 say what made-up records say, and nothing where none were made."""

import pytest

from qlab.core import records
from qlab.core.records import Record
from qlab.detector import words
from qlab.detector.measure import EXPERIMENT


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
