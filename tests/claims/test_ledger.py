"""The ledger, from the committed records: whole, repeatable, and no verdict changes unseen."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

from qlab.claims import explore
from qlab.claims import ledger as claims_ledger
from qlab.claims.data import Evidence
from qlab.claims.verdicts import HOLDS, NOT, UNTESTED, VERDICTS
from qlab.core import records

COMMITTED = "data/results/mini/claims.csv"


def changes(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """The claims whose verdict is another one, or that are in one table only."""
    both = before.merge(after, on="variant", how="outer", suffixes=("_was", "_is"))
    return both[both["metric_was"] != both["metric_is"]].set_index("variant")


def verdicts(judged) -> pd.DataFrame:
    return records.as_table(claims_ledger.as_records(judged))


@pytest.fixture(scope="module")
def evidence():
    return Evidence("mini")


@pytest.fixture(scope="module")
def judged(evidence):
    return claims_ledger.judge_all(evidence)


@pytest.fixture(scope="module")
def ledger(judged):
    return claims_ledger.table(judged)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A home with its own copy of what notebook 05 reads."""
    home = tmp_path / "home"
    for part in ("data/results", "figures/mini"):
        kept = shutil.ignore_patterns("*.png", "*.svg", "*.json")
        shutil.copytree(ROOT / part, home / part, ignore=kept)
    shutil.copy(ROOT / "data" / "claims.yaml", home / "data")
    monkeypatch.setenv("QLAB_HOME", str(home))
    return home


def test_committed_verdicts_follow_from_the_committed_records(judged):
    """Fails when records, rules or claims changed and notebook 05 did not run since."""
    changed = changes(pd.read_csv(ROOT / COMMITTED), verdicts(judged))
    assert changed.empty, f"run `make figures` and look: {changed[['metric_was', 'metric_is']]}"


def edit(home: Path, experiment: str, variant: str, metric: str, k=None, **new) -> None:
    file = home / "data" / "results" / "mini" / f"{experiment}.csv"
    table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    hit = (table["variant"] == variant) & (table["metric"] == metric)
    if k:
        hit &= table["k"] == k
    assert hit.any()
    table.loc[hit, list(new)] = list(new.values())
    table.to_csv(file, index=False)


def test_a_changed_record_changes_its_verdict_alone(copy, judged):
    edit(copy, "centernet_ptq", "fp16", "size_bytes", value=3_000_000)
    found = changes(verdicts(judged), verdicts(claims_ledger.judge_all(Evidence("mini"))))
    assert list(found.index) == ["fp16_halves_the_file"]
    row = found.iloc[0]
    assert (row["metric_was"], row["metric_is"]) == (HOLDS, NOT)
    assert row["value_is"] == pytest.approx(0.8094, abs=1e-4)


def test_a_verdict_that_rests_on_a_clock_says_so(judged):
    table = verdicts(judged).set_index("variant")["clock"]
    timed = ["dynamic_int8_doubles_the_time", "training_time_grows_with_k"]
    timed += ["int2_is_faster_than_int8", "latency_improves_here"]
    others = ["synthesis_inference_latency", "int8_quarters_the_file"]
    others += ["first_layers_hurt_more_qat_4bit", "article_energy"]  # the last has no record
    assert table[timed].all() and not table[others].any()


def test_a_wider_interval_leaves_a_claim_undecided(copy):
    edit(copy, "llama_gptq", "gptq_w4_g64", "top_first_token_difference", k=5, ci_low=-0.02)
    verdicts = claims_ledger.table(claims_ledger.judge_all(Evidence("mini"))).set_index("id")
    row = verdicts.loc["int4_keeps_top5"]
    assert row["verdict"] == "undecided" and 0.01 < row["smallest_effect"] < 0.02


def test_the_ledger_is_whole(ledger):
    assert list(ledger.columns) == claims_ledger.COLUMNS
    assert set(ledger["verdict"]) <= set(VERDICTS) and ledger["id"].is_unique
    assert (ledger["reason"].str.len() > 20).all()
    for row in ledger[ledger["verdict"] != UNTESTED].itertuples():
        assert row.figure and row.n >= 1 and (ROOT / row.records).is_file(), row.id
        assert pd.isna(row.ci_low) or row.ci_low <= row.value <= row.ci_high, row.id
        assert pd.isna(row.ci_low) == pd.isna(row.smallest_effect), row.id
    for row in ledger[ledger["verdict"] == UNTESTED].itertuples():
        assert row.figure == "" and pd.isna(row.value), row.id
    assert (ledger["verdict"] != UNTESTED).sum() >= 40


def test_verdicts_that_do_not_depend_on_machines_or_chance(ledger):
    """Arithmetic on sizes: reckoned here from the records by hand."""
    table = records.read("centernet_ptq", "mini")
    size = records.pick(table, "size_bytes").set_index("variant")["value"]
    row = ledger.set_index("id").loc["int8_quarters_the_file"]
    assert row["value"] == pytest.approx(size["int8_dynamic"] / size["fp32"])
    assert row["verdict"] == HOLDS and row["figure"] == f"{row['value']:.2f} x"
    assert row["notebook"] == "notebooks/01_compress_centernet_with_tflite_ptq.ipynb"


def test_records_keep_the_schema_and_repeat(copy):
    written = []
    for profile in ("mini", "smoke"):  # smoke is judged by the committed records, as mini is
        evidence = Evidence(profile)
        found = claims_ledger.judge_all(evidence)
        path = claims_ledger.write(found, evidence, "smoke", 0.0)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    table = records.read("claims", "smoke")
    assert len(table) == len(found) and set(table["metric"]) <= set(VERDICTS)
    assert (table.loc[table["metric"] == UNTESTED, "unit"] == "record").all()
    inputs = json.loads(path.with_suffix(".provenance.json").read_text())["inputs"]
    assert {"data/claims.yaml", "data/results/mini-long/resnet_qat.csv"} <= set(inputs)


def test_missing_records_are_a_reason_and_no_error(copy):
    for file in (copy / "data" / "results").rglob("*.csv"):
        file.unlink()
    found = claims_ledger.judge_all(Evidence("mini"))
    of_figures = {j.claim.id for j in found if hasattr(j.claim.rule, "figure")}
    assert {j.claim.id for j in found if j.verdict != UNTESTED} == of_figures
    told = next(j for j in found if j.claim.id == "fp16_halves_the_file").reason
    assert told.startswith("The records of centernet_ptq are missing for mini; notebook 01_")
    records.write(claims_ledger.as_records(found), "mini", {})
    shutil.rmtree(copy / "figures")
    found = claims_ledger.judge_all(Evidence("mini"))
    assert {j.verdict for j in found} == {UNTESTED}


def test_full_takes_its_own_records_first_and_says_where_the_others_are_from(copy):
    own = copy / "data" / "results" / "full"
    own.mkdir()
    table = pd.read_csv(copy / "data" / "results" / "mini" / "centernet_ptq.csv")
    data = table["dataset"].str.replace("mini_coco", "coco_val2017")
    table.assign(model="centernet_resnet50", dataset=data).to_csv(
        own / "centernet_ptq.csv", index=False
    )
    evidence = Evidence("full")
    found = {j.claim.id: j for j in claims_ledger.judge_all(evidence)}
    one = found["fp16_halves_the_file"]
    assert one.file == own / "centernet_ptq.csv" and one.model == "centernet_resnet50"
    assert found["int8_keeps_top5"].file.parent.name == "mini"
    assert {file.parent.name for file in evidence.used} == {"full", "mini", "mini-long"}


def test_figures_are_the_rules_with_the_deciding_one_first(judged, evidence):
    by_id = {j.claim.id: j for j in judged}
    found = explore.terms(by_id["every_detector_is_faster"], evidence)
    assert len(found) == 7 and found[0] == by_id["every_detector_is_faster"].term
    assert [t.margin for t in found[1:]] == sorted(t.margin for t in found[1:])
    assert {t.verdict(7) for t in found} >= {HOLDS, NOT}  # some may be undecided, by the machine
    counted = explore.terms(by_id["layer_before_gets_a_quantizer"], evidence)
    assert [t.unit for t in counted] == ["row"]
