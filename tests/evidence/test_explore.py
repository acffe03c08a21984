"""Weighing with chosen studies and thresholds says what the synthesis of just these says."""

import pytest

from qlab.core import records
from qlab.evidence import data, explore
from qlab.evidence.measure import SIX, wide
from qlab.evidence.models import name
from qlab.evidence.robustness import ALL
from qlab.evidence.synthesis import candidates, descent

TASK = data.prepare(data.Parameters())
TABLE = records.read("evidence_synthesis", "mini")


@pytest.fixture
def box():
    return explore.widget(TASK)


def test_it_begins_with_what_is_recorded_of_the_six_studies(box):
    effect = box.children[0].value
    row = wide(TABLE, SIX, ALL).loc[effect]
    told = box.children[-2].value
    assert (
        f"{name(effect)}, threshold 75%, models: {row['models']}, studies: {row['studies']:.0f}:"
        in told
    )
    assert f"belief {row['belief']:.2f}</b> by reading (b)" in told
    assert f"Conflict K of all at once {row['conflict']:.3f}." in told


def test_without_evidence_it_says_who_has_some(box):
    effect, _, studies, text, _ = box.children
    effect.value, studies.value = "gpu_utilisation", ("tao_2022",)
    assert text.value == (
        "No chosen study has evidence on GPU utilisation; take in one or more of gonzalez_2024, "
        "alizadeh_2025."
    )


def test_a_threshold_decides_between_one_value_and_two():
    mass = {frozenset({"WP"}): 0.5, frozenset({"WP", "PO"}): 0.3, frozenset({"PO"}): 0.2}
    for reading in (candidates, descent):
        assert reading(mass, 0.45).intensity == frozenset({"WP"})
        assert reading(mass, 0.55).intensity == frozenset({"WP", "PO"})
