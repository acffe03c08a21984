"""The ledger, from the committed records: whole, repeatable, and no verdict changes unseen."""

import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

from qlab.claims import claims
from qlab.claims import ledger as claims_ledger
from qlab.claims.data import Evidence
from qlab.claims.verdicts import HOLDS, NOT, UNDECIDED, UNTESTED, VERDICTS
from qlab.core import records

COMMITTED = "data/results/mini/claims.csv"


def changes(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """The claims and tiers whose verdict is another one, or that are in one table only."""
    both = before.merge(after, on=["variant", "part"], how="outer", suffixes=("_was", "_is"))
    return both[both["metric_was"] != both["metric_is"]].set_index("variant")


def verdicts(judged) -> pd.DataFrame:
    return records.as_table(claims_ledger.as_records(judged))


@pytest.fixture(scope="module")
def judged():
    return claims_ledger.judge_all(Evidence())


@pytest.fixture(scope="module")
def ledger(judged):
    return claims_ledger.table(judged)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A home with its own copy of what notebook 05 reads."""
    home = tmp_path / "home"
    for part in ("data/results", "figures/mini", "figures/small"):
        kept = shutil.ignore_patterns("*.png", "*.svg", "*.json")
        shutil.copytree(ROOT / part, home / part, ignore=kept)
    shutil.copy(ROOT / "data" / "claims.yaml", home / "data")
    monkeypatch.setenv("QLAB_HOME", str(home))
    return home


def test_committed_verdicts_follow_from_the_committed_records(tmp_path, monkeypatch):
    """Fails when records, rules or claims changed and notebook 05 did not run since.

    Of the records of HEAD, for `make figures` has written those that lie here anew.
    """
    call = ["git", "-C", str(ROOT), "archive", "HEAD", "data", "figures/mini", "figures/small"]
    done = subprocess.run(call, capture_output=True)
    if done.returncode:
        pytest.skip("Without git's history there are no committed records to judge again.")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        kept = [m for m in archive if m.name.endswith((".csv", ".yaml", ".parquet"))]
        archive.extractall(tmp_path, kept, filter="data")
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    before = pd.read_csv(tmp_path / COMMITTED)
    changed = changes(before, verdicts(claims_ledger.judge_all(Evidence())))
    assert changed.empty, f"run `make figures` and look: {changed[['metric_was', 'metric_is']]}"


def committed_before(file: str) -> list[bytes]:
    """A file of the last two commits that changed it, the last first; skips where they are not."""
    call = ["git", "-C", str(ROOT), "log", "-2", "--format=%H", "--", file]
    done = subprocess.run(call, capture_output=True, text=True)
    commits = done.stdout.split()
    if len(commits) < 2:
        pytest.skip("Without git's history nothing tells which verdicts changed.")
    shown = [["git", "-C", str(ROOT), "show", f"{commit}:{file}"] for commit in commits]
    return [subprocess.run(call, capture_output=True, check=True).stdout for call in shown]


def test_a_verdict_that_changed_is_named_in_the_changelog():
    after, before = (pd.read_csv(io.BytesIO(f)) for f in committed_before(COMMITTED))
    gone = set(before["variant"]) - set(after["variant"])
    both = before.merge(after, on=["variant", "part"], suffixes=("_was", "_is"))
    changed = set(both.loc[both["metric_was"] != both["metric_is"], "variant"])
    told = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert not [name for name in sorted(changed | gone) if f"`{name}`" not in told]


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
    found = changes(verdicts(judged), verdicts(claims_ledger.judge_all(Evidence())))
    assert list(found.index) == ["fp16_halves_the_file"]
    row = found.iloc[0]
    assert row["part"] == "mini"
    assert (row["metric_was"], row["metric_is"]) == (HOLDS, NOT)
    assert row["value_is"] == pytest.approx(0.8094, abs=1e-4)


def test_a_verdict_that_rests_on_a_clock_says_so_and_is_none_of_an_embedded_model(judged):
    table = verdicts(judged).set_index("variant")
    timed = table[table["clock"].astype(bool)]
    assert "dynamic_int8_doubles_the_time" in timed.index
    assert [*timed.index[timed["part"] == "mini"]] == ["network_bytes_fall_with_k"]  # a meter's
    assert not table.loc["synthesis_inference_latency", "clock"].any()
    told = {one.claim.id: one.tiers["mini"].reason for one in judged}
    assert "rests on a clock" in told["qat_costs_more_training"]


def test_a_wider_interval_leaves_a_claim_undecided(copy):
    edit(copy, "llama_gptq", "gptq_w8_g64", "top_first_token_difference", k=5, ci_low=-0.02)
    found = {one.claim.id: one for one in claims_ledger.judge_all(Evidence())}["int8_keeps_top5"]
    assert found.tiers["mini"].verdict == "undecided"
    assert 0.01 < found.tiers["mini"].term.smallest_effect < 0.02


def test_a_verdict_is_of_the_tiers_that_its_source_speaks_of(judged):
    tiers = {name: scope.tiers for name, scope in claims.read().scopes.items()}
    for one in judged:
        inside = [one.tiers[t].verdict for t in tiers[one.claim.scope]]
        tested = [v for v in inside if v != UNTESTED]
        assert one.verdict == (tested[-1] if tested else UNTESTED), one.claim.id
    by_id = {one.claim.id: one for one in judged}
    quarter = by_id["int8_quarters_the_file"]  # which the real detector is not
    assert (quarter.verdict, quarter.tiers["mini"].verdict) == (NOT, HOLDS)
    alone = by_id["article_calibration_matters"]
    assert (alone.verdict, alone.shown.verdict, alone.shown.tier) == (UNTESTED, HOLDS, "mini")
    assert "no record of accuracy_difference of qatcold_w8a8_last" in alone.reason


def test_measured_claims_of_a_source_are_a_family(judged):
    """Holm's: the smallest p value times the number of claims, and so on; as reckoned here."""
    family = [
        one.tiers["mini"] for one in judged
        if one.claim.source == "qat_midterm" and one.claim.kind == "measured"
    ]  # fmt: skip
    family = sorted((j for j in family if j.p is not None), key=lambda j: j.p)
    assert len(family) > 8
    least = 0.0
    for i, j in enumerate(family):
        least = max(least, min(1.0, j.p * (len(family) - i)))
        assert j.p_holm == pytest.approx(least)
        assert least < 0.05 or j.verdict == UNDECIDED
    assert any(j.p < 0.05 <= j.p_holm for one in judged for j in one.tiers.values() if j.p)


def test_the_ledger_is_whole(ledger):
    assert list(ledger.columns) == claims_ledger.COLUMNS
    assert set(ledger["verdict"]) <= set(VERDICTS) and ledger["id"].is_unique
    assert (ledger["reason"].str.len() > 20).all()
    for row in ledger[ledger["tier"] != ""].itertuples():
        assert row.figure and row.n >= 1 and (ROOT / row.records).is_file(), row.id
        assert pd.isna(row.ci_low) or row.ci_low <= row.value <= row.ci_high, row.id
        assert pd.isna(row.ci_low) == pd.isna(row.smallest_effect), row.id
    for row in ledger[ledger["tier"] == ""].itertuples():
        assert row.verdict == UNTESTED and row.figure == "" and pd.isna(row.value), row.id
    assert (ledger["mini"] != UNTESTED).sum() >= 40 and (ledger["small"] != UNTESTED).sum() >= 12


def test_verdicts_that_do_not_depend_on_machines_or_chance(ledger):
    """Arithmetic on sizes: reckoned here from the records by hand."""
    table = records.read("centernet_ptq", "small")
    size = records.pick(table, "size_bytes").set_index("variant")["value"]
    row = ledger.set_index("id").loc["int8_quarters_the_file"]
    assert row["value"] == pytest.approx(size["int8_dynamic"] / size["fp32"])
    assert row["verdict"] == NOT and row["figure"] == f"{row['value']:.2f} x"
    assert row["notebook"] == "notebooks/01_compress_centernet_with_tflite_ptq.ipynb"


def test_records_keep_the_schema_and_repeat(copy):
    written = []
    for _ in range(2):
        evidence = Evidence()
        found = claims_ledger.judge_all(evidence)
        path = claims_ledger.write(found, evidence, "smoke", 0.0)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    table = records.read("claims", "smoke")
    assert set(table["variant"]) == {one.claim.id for one in found}
    assert set(table["metric"]) <= set(VERDICTS)
    assert (table.loc[table["metric"] == UNTESTED, "unit"] == "record").all()
    inputs = json.loads(path.with_suffix(".provenance.json").read_text())["inputs"]
    assert {"data/claims.yaml", "data/results/mini-long/resnet_qat.csv"} <= set(inputs)


def test_missing_records_are_a_reason_and_no_error(copy):
    for file in (copy / "data" / "results").rglob("*.csv"):
        file.unlink()
    found = claims_ledger.judge_all(Evidence())
    assert {one.shown.verdict for one in found} == {UNTESTED}
    told = next(one for one in found if one.claim.id == "fp16_halves_the_file").reason
    assert told.startswith("The records of centernet_ptq are missing for small; notebook 01_")
    records.write(claims_ledger.as_records(found), "mini", {})


def test_missing_numbers_of_a_figure_are_a_reason_and_no_error(copy, judged):
    shutil.rmtree(copy / "figures")
    found = claims_ledger.judge_all(Evidence())
    gone = [
        one.claim.id for one, before in zip(found, judged, strict=True)
        if one.shown.verdict != before.shown.verdict
    ]  # fmt: skip
    assert gone == ["int2_answers_in_fragments", "layer_before_gets_a_quantizer"]
    told = next(one for one in found if one.claim.id == gone[1]).reason
    assert told.startswith("The numbers of the figure qat_wrappers are missing for small; note")


def test_the_nearest_tier_decides(copy):
    own = copy / "data" / "results" / "full"
    own.mkdir()
    table = pd.read_csv(copy / "data" / "results" / "mini" / "centernet_ptq.csv")
    data = table["dataset"].str.replace("mini_coco", "coco_val2017")
    table.assign(model="centernet_resnet50", dataset=data).to_csv(
        own / "centernet_ptq.csv", index=False
    )
    evidence = Evidence()
    found = {one.claim.id: one for one in claims_ledger.judge_all(evidence)}
    one = found["int8_quarters_the_file"]
    assert one.shown.facts[2:4] == (own / "centernet_ptq.csv", "centernet_resnet50")
    assert (one.verdict, one.tiers["small"].verdict) == (HOLDS, NOT)
    read = {file.parent.name for file in evidence.used if file.suffix == ".csv"}
    assert read == {"full", "small", "mini", "mini-long"}
