"""The paper's ten effects, both readings, robustness, meta-analysis, records."""

import math

import notebook04
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.core import records
from qlab.evidence import dempster, intensity, measure, meta, robustness
from qlab.evidence import models as evidence_models
from qlab.evidence.intensity import FRAME, SCALE, parse
from qlab.evidence.robustness import ALL
from qlab.evidence.synthesis import Reading, candidates, descent, masses, synthesize

EVIDENCE = ROOT / "data" / "evidence"
SIX = evidence_models.read(EVIDENCE / "six_studies.csv")
POOLED = evidence_models.read(EVIDENCE / "six_studies_pooled.csv")
# Intensity and belief of the ten aggregated effects in arXiv 2505.00816.
PUBLISHED = {
    "accuracy": ("WN", 0.90), "f1": ("IF", 0.83), "storage_size": ("SP", 1.00),
    "inference_latency": ("IF-WP", 0.98), "inference_energy": ("WP", 0.69),
    "inference_power": ("WP", 0.93), "gpu_energy": ("PO-SP", 0.95), "gpu_power": ("IF-WP", 0.96),
    "gpu_memory_utilisation": ("PO-SP", 0.71), "gpu_utilisation": ("IF", 0.74),
}  # fmt: skip


def combined(*evidence: tuple[str, float]) -> dict:
    return dempster.combine(
        dempster.simple_support(parse(i), b, FRAME) for i, b in evidence
    ).mass  # fmt: skip


def rows(*evidence: tuple[str, float, float], study: str = "s", **more) -> pd.DataFrame:
    """Models of accuracy: improvement, std, belief."""
    table = SIX[SIX["effect"] == "accuracy"].head(1)
    table = pd.concat([table] * len(evidence), ignore_index=True)
    improvement, std, belief = (list(column) for column in zip(*evidence, strict=True))
    table = table.assign(improvement=improvement, std=std, belief=belief, study=study, **more)
    table["configuration"] = [f"c{i}" for i in range(len(table))]
    return table.assign(intensity=[evidence_models.by_rule(r) for _, r in table.iterrows()])


@pytest.mark.parametrize("effect", PUBLISHED)
def test_the_papers_ten_effects_come_out(effect):
    strength, belief = PUBLISHED[effect]
    found = synthesize(SIX[SIX["effect"] == effect]).reading
    assert intensity.label(found.intensity) == strength
    assert found.belief == pytest.approx(belief, abs=0.02)


def test_one_model_per_study_is_another_answer():
    pooled = robustness.one_per_study(SIX, POOLED)
    for effect, strength, belief in (
        ("accuracy", "WN-IF", 0.79),
        ("inference_latency", "PO-SP", 0.82),
        ("inference_energy", "SP", 0.79),
    ):
        reading = synthesize(pooled[pooled["effect"] == effect]).reading
        assert reading == (parse(strength), pytest.approx(belief, abs=0.005))


def test_the_readings_on_the_worked_example():
    mass = combined(("PO-SP", 0.65), ("WP-PO", 0.40), ("SP", 0.90))
    for reading in (candidates, descent):
        assert reading(mass) == Reading(parse("SP"), pytest.approx(0.84375))


def of(**masses: float) -> dict:
    """Masses by intensity (`WP_PO`), the rest on the whole scale."""
    found = {parse(text.replace("_", "-")): mass for text, mass in masses.items()}
    return found | {FRAME: 1 - sum(found.values())}


@pytest.mark.parametrize(
    ("reading", "mass", "expected"),
    [
        (candidates, of(PO_SP=0.1, SP=0.45), "SP"),  # has three quarters of the pair
        (candidates, of(PO_SP=0.2, SP=0.45), "PO-SP"),
        (candidates, of(WP=0.4, NE_WN=0.4), "WP"),  # on a tie the smaller set
        (descent, combined(("PO", 0.5), ("SP", 0.5)), "PO-SP"),  # (b) wants mass of the pair's own
        (descent, of(SN=0.4, IF=0.4), "SN-NE-WN-IF"),  # nothing shorter holds three quarters
    ],
)
def test_a_reading_is_as_short_as_the_belief_allows(reading, mass, expected):
    assert intensity.label(reading(mass).intensity) == expected


places = st.sampled_from([*SCALE, *(f"{a}-{b}" for a, b in zip(SCALE, SCALE[1:], strict=False))])
evidence = st.lists(st.tuples(places, st.floats(0.05, 0.95)), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(evidence, st.randoms())
def test_neither_readings_nor_conflict_depend_on_the_order(models, random):
    table = pd.DataFrame(models, columns=["intensity", "belief"]).assign(study="s")
    other = models.copy()
    random.shuffle(other)
    shuffled = pd.DataFrame(other, columns=["intensity", "belief"]).assign(study="s")
    one, two = synthesize(table), synthesize(shuffled)
    assert one.conflict == pytest.approx(two.conflict, abs=1e-9)
    for k in (dempster.pairwise_conflict, lambda parts: max(dempster.last_step_conflicts(parts))):
        assert k(masses(table)) == pytest.approx(k(masses(shuffled)), abs=1e-9)
    for a, b in ((one.reading, two.reading), (one.reading_a, two.reading_a)):
        assert a.belief == pytest.approx(b.belief, abs=1e-9)
    assert one.reading.belief <= one.plausibility + 1e-9


def test_evidence_without_belief_says_nothing():
    table = rows((-7, 0, 0.5), (30, 0, 0.0))
    made = measure.of_way("six_studies", ALL, table)
    assert {record.n for record in made} == {1}
    assert measure.of_way("six_studies", ALL, table.tail(1)) == []


def test_each_study_is_left_out_once():
    ways = notebook04.run("def ways(").ways
    found, studies = ways(SIX), set(SIX["study"])
    for study in studies:
        assert set(found[f"without_{study}"]["study"]) == studies - {study}
    assert {way for way in found if way.startswith("without_")} == {f"without_{s}" for s in studies}
    assert "without_s" not in ways(rows((1, 0, 0.5)))


def test_a_study_split_into_models_weighs_as_one():
    split = robustness.belief_split(rows(*[(-7, 0, 0.6)] * 5))
    assert synthesize(split).reading == Reading(parse("WN"), pytest.approx(0.6))


def test_a_study_that_is_not_pooled_is_pooled_by_us():
    table = rows((-6, 0, 0.5), (-8, 0, 0.5), study="mine", runs=1)
    one = robustness.one_per_study(table, POOLED)
    assert one[["improvement", "iqr", "runs", "configuration"]].values.tolist() == [
        [-7, 1, 2, "all"]
    ]
    assert one["belief"].item() == pytest.approx(evidence_models.published_rule(one.iloc[0]))
    both = robustness.one_per_study(pd.concat([SIX, table]), POOLED)
    assert set(both["study"]) == {*SIX["study"], "mine"} and len(both) == len(POOLED) + 1


def test_other_cut_points_move_the_intensity_and_not_the_belief():
    found = robustness.with_cuts(rows((-8, 0, 0.5)), {"correctness": (1, 2, 3, 4, 5, 6)})
    assert found[["intensity", "belief"]].values.tolist() == [["SN", 0.5]]
    for cuts in notebook04.run("CUTS = ").CUTS.values():
        assert all(list(c) == sorted(c) and len(c) == 6 for c in cuts.values())


def test_the_later_rule_asks_for_runs():
    single, many = rows((-7, 0, 0.5), runs=1), rows((-7, 0, 0.5), runs=30)
    beliefs = [robustness.discounted_by_runs(t)["belief"].item() for t in (single, many)]
    assert beliefs[1] / beliefs[0] == pytest.approx(1 / (1 - math.exp(-1 / 3)), rel=1e-3)


def test_meta_analysis_of_equal_models_is_their_mean():
    table = rows((-7, 2, 0.5), (-7, 2, 0.5), (-7, 2, 0.5), runs=4)
    mean, i_squared = meta.random_effects(table)
    assert mean.value == pytest.approx(-7) and mean.n == 3
    assert i_squared == 0


def test_meta_analysis_agrees_with_paule_and_mandel_by_hand():
    """tau^2 is where the weighted squares equal the degrees of freedom."""
    values, errors = np.array([-2.0, -9.0, 4.0]), np.array([1.0, 2.0, 1.5])
    table = rows(*[(v, 0, 0.5) for v in values]).assign(standard_error=errors)
    low, high = 0.0, 1000.0
    for _ in range(100):
        tau2 = (low + high) / 2
        weights = 1 / (errors**2 + tau2)
        mean = (weights * values).sum() / weights.sum()
        low, high = (tau2, high) if (weights * (values - mean) ** 2).sum() > 2 else (low, tau2)
    assert meta.random_effects(table)[0].value == pytest.approx(mean, abs=1e-4)


def test_models_without_a_variance_take_no_part():
    table = rows((-7, 2, 0.5), (-5, 2, 0.5), (-5, 0, 0.5), runs=4)
    assert meta.random_effects(table)[0].n == 2
    assert meta.random_effects(table.assign(runs=1)) is None
    known = table.assign(runs=1, standard_error=[0.5, 0.5, float("nan")])
    assert meta.random_effects(known)[0].n == 2


def test_records_and_back():
    effects = [e for e in evidence_models.EFFECTS if e in set(SIX["effect"])]
    found = {effect: synthesize(SIX[SIX["effect"] == effect]) for effect in effects}
    made = measure.of_way("six_studies", ALL, SIX)
    table = records.check(records.as_table(made), "records")
    for condition in (None, measure.READING_A):
        wide = measure.wide(table, "six_studies", ALL, condition)
        assert list(wide.index) == list(found)
        for effect, synthesis in found.items():
            reading = synthesis.reading_a if condition else synthesis.reading
            assert wide.at[effect, "intensity"] == intensity.label(reading.intensity)
            assert wide.at[effect, "belief"] == reading.belief
            assert wide.at[effect, "models"] == synthesis.models
            assert condition or wide.at[effect, "studies"] == synthesis.studies
    accuracy = table[table["part"] == "accuracy"]
    low = records.pick(accuracy, "intensity_low", condition=None)
    assert low[["value", "n"]].values.tolist() == [[-1, 17]]
    assert records.pick(accuracy, "belief", condition=measure.READING_A)[
        "value"
    ].item() == pytest.approx(0.886, abs=1e-3)
    last = measure.wide(table, "six_studies", ALL)
    assert (last["conflict_last_step_low"] <= last["conflict_last_step_high"]).all()
    assert (last["conflict"] >= last["conflict_pairwise"] - 1e-12).all()
    assert measure.wide(table, "six_studies", "no such way").empty
