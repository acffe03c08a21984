"""The paper's ten effects, both readings, robustness, meta-analysis, records."""

import numpy as np
import pandas as pd
import pytest
import shown
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from qlab.core import records
from qlab.evidence import dempster, intensity, measure, meta, robustness
from qlab.evidence import models as evidence_models
from qlab.evidence.intensity import FRAME, SCALE, parse
from qlab.evidence.robustness import ALL
from qlab.evidence.synthesis import Reading, candidates, descent, synthesize

EVIDENCE = ROOT / "data" / "evidence"
SIX = evidence_models.read(EVIDENCE / "six_studies.csv")
POOLED = evidence_models.read(EVIDENCE / "six_studies_pooled.csv")
# Intensity and belief of one model per study.
ONE_EACH = {"accuracy": ("WN-IF", 0.79), "inference_latency": ("PO-SP", 0.82),
            "inference_energy": ("SP", 0.79)}  # fmt: skip


def combined(*evidence: tuple[str, float]) -> dict:
    return dempster.combine({FRAME: 1 - b, parse(i): b} for i, b in evidence).mass


def rows(*evidence: tuple[float, float, float], study: str = "s", **more) -> pd.DataFrame:
    """Models of accuracy: improvement, std, belief."""
    table = SIX[SIX["effect"] == "accuracy"].head(1)
    table = pd.concat([table] * len(evidence), ignore_index=True)
    improvement, std, belief = (list(column) for column in zip(*evidence, strict=True))
    table = table.assign(improvement=improvement, std=std, belief=belief, study=study, **more)
    table["configuration"] = [f"c{i}" for i in range(len(table))]
    return table.assign(intensity=[evidence_models.by_rule(r) for _, r in table.iterrows()])


def test_the_papers_ten_effects_come_out_and_one_model_per_study_is_another_answer():
    pooled = robustness.one_per_study(SIX, POOLED)
    for table, told, off in ((SIX, shown.published(), 0.016), (pooled, ONE_EACH, 0.005)):
        for effect, (strength, belief) in told.items():
            found = synthesize(table[table["effect"] == effect]).reading
            assert found == (parse(strength), pytest.approx(belief, abs=off)), effect


def of(**masses: float) -> dict:
    """Masses by intensity (`WP_PO`), the rest on the whole scale."""
    found = {parse(text.replace("_", "-")): mass for text, mass in masses.items()}
    return found | {FRAME: 1 - sum(found.values())}


@pytest.mark.parametrize(
    ("reading", "mass", "expected"),
    [
        (candidates, combined(("PO-SP", 0.65), ("WP-PO", 0.40), ("SP", 0.90)), "SP"),
        (descent, combined(("PO-SP", 0.65), ("WP-PO", 0.40), ("SP", 0.90)), "SP"),
        (candidates, of(PO_SP=0.1, SP=0.45), "SP"),  # has three quarters of the pair
        (candidates, of(PO_SP=0.2, SP=0.45), "PO-SP"),
        (candidates, of(WP=0.4, NE_WN=0.4), "WP"),  # on a tie the smaller set
        (descent, combined(("PO", 0.5), ("SP", 0.5)), "PO-SP"),  # (b) wants mass of the pair's own
        (descent, of(SN=0.4, IF=0.4), "SN-NE-WN-IF"),  # nothing shorter holds three quarters
    ],
)
def test_a_reading_is_as_short_as_the_belief_allows(reading, mass, expected):
    assert intensity.label(reading(mass).intensity) == expected
    two = {parse("WP"): 0.5, parse("WP-PO"): 0.3, parse("PO"): 0.2}
    found = [intensity.label(reading(two, threshold).intensity) for threshold in (0.45, 0.55)]
    assert found == ["WP", "WP-PO"]


places = st.sampled_from([*SCALE, *(f"{a}-{b}" for a, b in zip(SCALE, SCALE[1:], strict=False))])
evidence = st.lists(st.tuples(places, st.floats(0.05, 0.95)), min_size=1, max_size=6)


@given(evidence, st.randoms())
def test_neither_readings_nor_conflict_depend_on_the_order(models, random):
    one, two = (
        synthesize(pd.DataFrame(some, columns=["intensity", "belief"]).assign(study="s"))
        for some in (models, random.sample(models, len(models)))
    )
    assert one.conflict == pytest.approx(two.conflict, abs=1e-9)
    for a, b in ((one.reading, two.reading), (one.reading_a, two.reading_a)):
        assert a.belief == pytest.approx(b.belief, abs=1e-9)
    assert one.reading.belief <= one.plausibility + 1e-9


def test_the_same_evidence_weighed_otherwise():
    made = shown.run_until("04_", "def ways(")
    found, studies = made.ways(SIX), set(SIX["study"])
    left = {way: set(t["study"]) for way, t in found.items() if way.startswith("without_")}
    assert left == {f"without_{s}": studies - {s} for s in studies}
    split = robustness.belief_split(rows(*[(-7, 0, 0.6)] * 5))
    assert synthesize(split).reading == Reading(parse("WN"), pytest.approx(0.6))  # as one
    cut = robustness.with_cuts(rows((-8, 0, 0.5)), {"correctness": (1, 2, 3, 4, 5, 6)})
    assert cut[["intensity", "belief"]].values.tolist() == [["SN", 0.5]]
    for cuts in made.CUTS.values():
        assert all(list(c) == sorted(c) and len(c) == 6 for c in cuts.values())
    later = robustness.discounted_by_runs(rows((-7, 0, 0.5)))
    assert later["belief"].item() == evidence_models.later_rule(rows((-7, 0, 0.5)).iloc[0])


def test_a_study_that_is_not_pooled_is_pooled_by_us():
    table = rows((-6, 0, 0.5), (-8, 0, 0.5), study="mine", runs=1)
    both = robustness.one_per_study(pd.concat([SIX, table]), POOLED)
    assert set(both["study"]) == {*SIX["study"], "mine"} and len(both) == len(POOLED) + 1
    one = both[both["study"] == "mine"].iloc[0]
    assert one[["improvement", "iqr", "runs", "configuration"]].tolist() == [-7, 1, 2, "all"]
    assert one["belief"] == pytest.approx(evidence_models.published_rule(one))


def test_meta_analysis_is_paule_and_mandels_of_models_with_a_variance():
    """tau^2 is where the weighted squares equal the degrees of freedom."""
    values, errors = np.array([-2.0, -9.0, 4.0]), np.array([1.0, 2.0, 1.5])
    table = rows(*[(v, 0, 0.5) for v in values]).assign(standard_error=errors)

    def weighed(tau2):
        weights = 1 / (errors**2 + tau2)
        mean = np.average(values, weights=weights)
        return mean, (weights * (values - mean) ** 2).sum()

    mean, _ = weighed(optimize.brentq(lambda tau2: weighed(tau2)[1] - 2, 0, 1000))
    assert meta.random_effects(table)[0].value == pytest.approx(mean, abs=1e-4)
    mean, i_squared = meta.random_effects(rows(*[(-7, 2, 0.5)] * 3, runs=4))
    assert (mean.value, mean.n, i_squared) == (pytest.approx(-7), 3, 0)
    table = rows((-7, 2, 0.5), (-5, 2, 0.5), (-5, 0, 0.5), runs=4)
    assert meta.random_effects(table)[0].n == 2
    assert meta.random_effects(table.assign(runs=1)) is None
    known = table.assign(runs=1, standard_error=[0.5, 0.5, float("nan")])
    assert meta.random_effects(known)[0].n == 2


def test_records_and_back():
    table = records.check(records.as_table(measure.of_way("six_studies", ALL, SIX)), "records")
    for condition in (None, measure.READING_A):
        wide = measure.wide(table, "six_studies", ALL, condition)
        for effect in SIX["effect"].unique():
            found = synthesize(SIX[SIX["effect"] == effect])
            reading = found.reading_a if condition else found.reading
            assert wide.at[effect, "intensity"] == intensity.label(reading.intensity)
            assert wide.at[effect, "belief"] == reading.belief
            assert wide.at[effect, "models"] == found.models
            assert condition or wide.at[effect, "studies"] == found.studies
    assert measure.wide(table, "six_studies", "no such way").empty
    silent = rows((-7, 0, 0.5), (30, 0, 0.0))  # without belief it says nothing
    assert {record.n for record in measure.of_way("six_studies", ALL, silent)} == {1}
    assert measure.of_way("six_studies", ALL, silent.tail(1)) == []
