"""Weighing with chosen studies and thresholds says what the synthesis of just these says."""

from dataclasses import replace

import pytest
from explored import moves, stands_still

from qlab.core import records
from qlab.evidence import data, explore
from qlab.evidence.measure import BOTH, SIX, wide
from qlab.evidence.robustness import ALL
from qlab.evidence.synthesis import PUBLISHED, candidates, descent, masses
from qlab.evidence.words import name

TASK = data.prepare(data.Parameters())
TABLE = records.read("evidence_synthesis", "mini")


@pytest.fixture
def box():
    return explore.widget(TASK)


@pytest.mark.parametrize("effect", PUBLISHED)
def test_it_begins_with_what_is_recorded_of_the_six_studies(box, effect):
    row = wide(TABLE, SIX, ALL).loc[effect]
    box.children[0].value = effect
    told = box.children[-2].value
    assert f"{name(effect)}, {row['models']} model" in told
    assert f"belief {row['belief']:.2f}</b> by reading (b)" in told
    assert f"Conflict K {row['conflict']:.3f} of all at once" in told


def test_all_studies_together_are_what_is_recorded_of_them(box):
    effect, _, studies, text, _ = box.children
    effect.value, studies.value = "inference_latency", tuple(studies.options)
    row = wide(TABLE, BOTH, ALL).loc["inference_latency"]
    assert f"{row['models']} models of 7 studies" in text.value
    assert f"belief {row['belief']:.2f}</b>" in text.value


def test_every_control_moves_text_or_picture(box):
    moves(box, {"effect": "inference_latency", "threshold, %": 90.0, "studies": ("tao_2022",)})
    stands_still(box)
    assert "8 models of 1 study, threshold 90%" in box.children[-2].value


def test_without_evidence_it_says_who_has_some(box):
    effect, _, studies, text, _ = box.children
    effect.value, studies.value = "gpu_utilisation", ("tao_2022",)
    assert text.value == (
        "No chosen study has evidence on GPU utilisation; take in one or more of gonzalez_2024, "
        "alizadeh_2025."
    )
    studies.value = ()
    assert text.value.startswith("No chosen study")


def test_the_threshold_of_the_box_is_that_of_the_readings(box):
    _, threshold, _, text, _ = box.children
    assert "<b>weakly negative, belief 0.89</b> by reading (b)" in text.value
    threshold.value = 95.0
    assert "<b>weakly negative to indifferent, belief 1.00</b> by reading (b)" in text.value


def test_a_threshold_decides_between_one_value_and_two():
    mass = {frozenset({"WP"}): 0.5, frozenset({"WP", "PO"}): 0.3, frozenset({"PO"}): 0.2}
    for reading in (candidates, descent):
        assert reading(mass, 0.45).intensity == frozenset({"WP"})
        assert reading(mass, 0.55).intensity == frozenset({"WP", "PO"})


def test_masses_are_the_beliefs():
    rows = TASK.six[TASK.six["effect"] == "f1"]
    found = masses(rows)
    assert [max(m.values()) for m in found] == pytest.approx(
        [max(b, 1 - b) for b in rows["belief"]]
    )


def test_a_given_study_can_be_taken_in_and_ours_may_be_missing():
    given = TASK.six[TASK.six["study"] == "paul_2022"].assign(study="mine")
    box = explore.widget(replace(TASK, ours=TASK.ours.iloc[:0], given=given))
    assert "mine" in box.children[2].options and "llama_gptq" not in box.children[2].options
    assert "mine" not in box.children[2].value
    box.children[2].value = ("mine",)
    assert "5 models of 1 study" in box.children[-2].value
