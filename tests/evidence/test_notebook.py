"""What notebook 04 says of its committed run, held to the records."""

import re
from itertools import product

import committed
import pandas as pd
import shown
import yaml
from conftest import ROOT

from qlab.core import records
from qlab.evidence import models, own
from qlab.evidence.measure import BOTH, RANDOM_EFFECTS, REAL, SIX, wide
from qlab.evidence.robustness import ALL, COUNTINGS, ONE_EACH, SPLIT
from qlab.evidence.synthesis import synthesize

PROSE = shown.prose("04_")
TABLE = committed.table("evidence_synthesis", "mini")
STUDIES = models.read(ROOT / "data" / "evidence" / "six_studies.csv")
EXPERIMENTS = yaml.safe_load((ROOT / "data" / "evidence" / "own.yaml").read_text(encoding="utf-8"))
TECHNIQUES = {*STUDIES["technique"], *(t for e in EXPERIMENTS.values() for t in e["techniques"])}
OTHER = [v for v in TABLE[TABLE["model"] == SIX]["variant"].unique()
         if v not in {ALL, RANDOM_EFFECTS, *TECHNIQUES}]  # fmt: skip


def by(body: str, column: str, ways=COUNTINGS) -> dict:
    """What each way of weighing says: by way, a column of the effects."""
    return {way: wide(TABLE, body, way)[column] for way in ways}


def several(body: str, column: str) -> set[str]:
    """The effects of which not all ways of counting say the same."""
    return set(pd.DataFrame(by(body, column)).nunique(axis=1).loc[lambda n: n > 1].index)


def test_every_reading_behind_its_effect_in_the_prose_is_a_committed_record():
    known = {f"`{effect}` {told}" for way in [ALL, *OTHER]
             for effect, told in wide(TABLE, SIX, way)["told"].items()}  # fmt: skip
    said = re.findall(r"`\w+` [A-Z]{2}(?:-[A-Z]{2})? \d\.\d\d", PROSE)
    assert len(said) > 5 and set(said) <= known


def test_what_hangs_on_counting_is_what_the_prose_says():
    strength, turned = by(SIX, "intensity"), several(SIX, "direction")
    moved, effects = several(SIX, "intensity") - turned, set(strength[ALL].index)
    assert effects - turned - moved == {"storage_size", "dice", "gpu_utilisation"}
    assert "Three of eleven effects do not: `storage_size`, `dice`" in PROSE and len(effects) == 11
    assert "In seven the strength hangs on counting, in `f1`" in PROSE
    assert len(moved) == 7 and turned == {"f1"}
    change = (strength[ALL] != strength[ONE_EACH]).drop("dice")
    assert "With one model per study seven of the ten effects change" in PROSE and change.sum() == 7


def test_how_firm_directions_intensities_and_conflict_are_is_what_the_prose_says():
    base, told = wide(TABLE, SIX, ALL), PROSE.split("Of directions, those of ")[1]
    strength, direction = (by(SIX, column, OTHER) for column in ("intensity", "direction"))
    turns = {e: sum(e in of and of[e] != base.at[e, "direction"] for of in direction.values())
             for e in base.index.drop("dice")}  # fmt: skip
    assert {e for e, n in turns.items() if not n} == {e for e in turns if f"`{e}`" in told[:140]}
    assert {n for n in turns.values() if n} <= {1, 2, 3}
    same = {e: sum(of.get(e) == base.at[e, "intensity"] for of in strength.values()) for e in turns}
    assert f"accuracy keeps its own in {same['accuracy']} of {len(OTHER)} other ways" in PROSE
    assert f"latency in {same['inference_latency']}." in PROSE
    low, high = (base.at["inference_latency", f"conflict_last_step_{e}"] for e in ("low", "high"))
    assert f"for latency anything from {low:.2f} to {high:.2f}" in PROSE
    assert "beliefs within 0.016" in PROSE  # as test_synthesis holds them to what was published


def test_what_the_real_models_say_is_what_the_prose_says():
    told, strength = by(REAL, "told"), by(REAL, "intensity")
    assert {*strength[ALL].index} - several(REAL, "direction") == {"storage_size"}
    assert {of["storage_size"] for of in strength.values()} == {"SP"}
    for way, short, words in (
        (SPLIT, "SP", "strongly positive"),
        (ALL, "NE-WN", "negative to weakly negative"),
    ):
        assert strength[way]["inference_latency"] == short and f'"{words}"' in PROSE
        assert told[way]["inference_latency"] in PROSE
    assert strength[ALL]["accuracy"] == "IF" and strength[ONE_EACH]["accuracy"] == "SN"


def test_every_improvement_behind_its_technique_in_the_prose_is_a_committed_record():
    known = set()
    for experiment, tier in product(("llama_gptq", "centernet_ptq"), ("small", "mini")):
        rows = own.of(committed.table(experiment, tier), tier, EXPERIMENTS[experiment])
        known |= {f"`{row['technique']}` {row['improvement']:+.1f} %" for row in rows}
    said = re.findall(r"`\w+` [+-][\d.]+ %", PROSE)
    assert len(said) > 5 and set(said) <= known
    detector = committed.table("centernet_ptq", "small")
    ratio = records.value(detector, "int16x8", "latency_ratio_p50")
    assert f"takes {ratio:.1f} times as long as float" in PROSE


def test_how_thin_the_evidence_is_is_what_the_prose_says():
    studies = records.pick(TABLE, "studies", model=BOTH, variant=list(TECHNIQUES))["value"]
    assert f"{(studies == 1).sum()} of {len(studies)} cells" in PROSE
    assert (studies == 1).mean() > 0.5 and "More than half of the cells rest on one stu" in PROSE
    assert f"all but {(studies > 2).sum()} of {len(studies)} on two at most" in PROSE
    six = records.pick(TABLE, "studies", model=SIX, variant=list(TECHNIQUES))
    assert set(six[six["value"] > 1]["variant"]) == {"qat"} and six["value"].max() == 2
    means = records.pick(TABLE, "improvement", model=SIX).set_index("part")
    weighed = wide(TABLE, SIX, ALL)["models"]
    assert f"{means.at['accuracy', 'n']} of {weighed['accuracy']} models of accuracy" in PROSE
    assert means.at["storage_size", "n"] == 2


def test_what_one_finds_in_the_box():
    rows = dict(iter(STUDIES.groupby("effect")))
    for of, said, conflict in (("latency", "PO", 0.3), ("energy", "SP", 0.4)):
        models_of = rows[f"inference_{of}"]
        assert synthesize(models_of).conflict > 0.985
        rest = synthesize(models_of.query("study != 'tao_2022'"))
        assert rest.reading.intensity == {said} and round(rest.conflict, 1) == conflict
    assert synthesize(rows["accuracy"], 0.88).reading.intensity == {"WN"}
    wider = synthesize(rows["accuracy"], 0.89).reading
    assert wider.intensity == {"WN", "IF"} and round(wider.belief, 2) == 1
