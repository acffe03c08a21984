"""The ledger, from the committed records: whole, repeatable, and no verdict changes unseen."""

import io
import shutil
import subprocess

import pandas as pd
import pytest
import shown
from conftest import ROOT
from statsmodels.stats.multitest import multipletests

from qlab.claims import ledger as claims_ledger
from qlab.claims.data import Evidence
from qlab.claims.verdicts import HOLDS, NOT, UNDECIDED, UNTESTED, VERDICTS
from qlab.core import records

COMMITTED = "data/results/mini/claims.csv"


def git(*arguments: str) -> str:
    """What git prints in this checkout; nothing where it is none."""
    call = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(call, capture_output=True, text=True).stdout


def changes(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """The claims and tiers whose verdict is another one, or that are in one table only."""
    both = before.merge(after, on=["variant", "part"], how="outer", suffixes=("_was", "_is"))
    return both[both["metric_was"] != both["metric_is"]].set_index("variant")


def verdicts(judged) -> pd.DataFrame:
    return records.as_table(claims_ledger.as_records(judged))


@pytest.fixture(scope="module")
def judged():
    return claims_ledger.judge_all(Evidence())


def lines(judged: pd.DataFrame) -> pd.DataFrame:
    """The ledger, as cells of notebook 05 make it of all verdicts."""
    names = {"judged": judged, "UNTESTED": UNTESTED, "pd": pd}
    return shown.run("05_", "def line_of(", "ledger = ", **names).ledger.set_index("id")


@pytest.fixture(scope="module")
def ledger(judged):
    return lines(judged)


def test_committed_verdicts_follow_from_the_committed_records(judged, tmp_path, monkeypatch):
    """Of the records of HEAD, for `make figures` has written those that lie here anew."""
    read = ["data", "figures/mini", "figures/small"]
    if git("status", "--porcelain", "--ignored", "--", *read):
        git("archive", "HEAD", "--output", str(tmp_path / "head.zip"), *read)
        shutil.unpack_archive(tmp_path / "head.zip", tmp_path)
        monkeypatch.setenv("QLAB_HOME", str(tmp_path))
        judged = claims_ledger.judge_all(Evidence())
    changed = changes(records.read("claims", "mini"), verdicts(judged))
    assert changed.empty, f"run `make figures` and look: {changed[['metric_was', 'metric_is']]}"
    records.check(verdicts(judged), "here")


def test_a_verdict_that_changed_is_named_in_the_changelog():
    """Of the last two commits that changed the verdicts."""
    commits = git("log", "-2", "--format=%H", "--", COMMITTED).split()
    if len(commits) < 2:
        pytest.skip("Without git's history nothing tells which verdicts changed.")
    shown = (git("show", f"{commit}:{COMMITTED}") for commit in commits)
    after, before = (pd.read_csv(io.StringIO(table)) for table in shown)
    changed = set(changes(before, after).index) & set(before["variant"])
    told = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert not [name for name in sorted(changed) if f"`{name}`" not in told]


def edited(file, hit: dict, **values) -> pd.DataFrame:
    """The records of a file; those that have `hit` get other values, there too."""
    table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    hit = (table[list(hit)] == pd.Series(hit)).all(axis=1)
    table.loc[hit, list(values)] = list(values.values())
    table.to_csv(file, index=False)
    return table


def test_changed_and_missing_records_change_their_verdicts_alone(home, judged):
    results = home / "data" / "results"
    small = {"variant": "fp16", "metric": "size_bytes"}
    table = edited(results / "mini" / "centernet_ptq.csv", small, value=3_000_000)
    near = {"variant": "gptq_w8_g64", "k": 5, "metric": "top_first_token_difference"}
    edited(results / "mini" / "llama_gptq.csv", near, ci_low=-0.02)
    shutil.rmtree(home / "figures")
    (results / "full").mkdir()
    full = table.assign(model="r50", dataset="coco_val2017")
    full.to_csv(results / "full" / "centernet_ptq.csv", index=False)
    again = claims_ledger.judge_all(Evidence())
    found = changes(verdicts(judged), verdicts(again)).reset_index()
    found = found[found["part"] != "full"].set_index("variant")
    gone = ["int2_answers_in_fragments", "layer_before_gets_a_quantizer"]
    assert {*found.index} == {"fp16_halves_the_file", "int8_keeps_top5", *gone}
    told = found.loc["fp16_halves_the_file"]
    assert told[["part", "metric_was", "metric_is"]].tolist() == ["mini", HOLDS, NOT]
    assert told["value_is"] == pytest.approx(0.8094, 1e-4)
    wider = again.loc[("int8_keeps_top5", "mini")]
    assert wider["verdict"] == UNDECIDED and 0.01 < wider["smallest_effect"] < 0.02
    told = again.loc[(gone[1], "small"), "reason"]
    assert told.startswith("The numbers of the figure qat_wrappers are missing for small; the n")
    line = lines(again).loc["int8_quarters_the_file"]  # the tier nearest to the source decides
    assert line[["verdict", "tier", "small"]].tolist() == [HOLDS, "full", NOT]


def test_a_verdict_that_rests_on_a_clock_says_so_and_is_none_of_an_embedded_model(judged):
    table = verdicts(judged).set_index("variant")
    timed = table[table["clock"].astype(bool)]
    assert "dynamic_int8_doubles_the_time" in timed.index
    assert [*timed.index[timed["part"] == "mini"]] == ["network_bytes_fall_with_k"]  # a meter's
    assert not table.loc["synthesis_inference_latency", "clock"].any()
    assert "rests on a clock" in judged.loc[("qat_costs_more_training", "mini"), "reason"]


def test_a_verdict_is_of_the_tiers_that_its_source_speaks_of(judged, ledger):
    for name, of in judged.groupby(level="id", sort=False):
        tested = of[of["inside"] & (of["verdict"] != UNTESTED)]["verdict"]
        assert ledger.at[name, "verdict"] == (tested.iloc[-1] if len(tested) else UNTESTED), name
    quarter = ledger.loc["int8_quarters_the_file"]  # which the real detector is not
    assert quarter[["verdict", "mini"]].tolist() == [NOT, HOLDS]
    alone = ledger.loc["article_calibration_matters"]
    assert alone[["verdict", "mini", "tier"]].tolist() == [UNTESTED, HOLDS, "mini"]
    assert "no record of accuracy_difference of qatcold_w8a8_last" in alone["reason"]


def test_measured_claims_of_a_source_are_a_family(judged):
    measured = judged[(judged["kind"] == "measured") & judged["p"].notna()]
    lost = measured["p_holm"] >= 0.05
    assert (measured[lost]["p"] < 0.05).any() and set(measured[lost]["verdict"]) == {UNDECIDED}
    families = measured.groupby(["source", "tier", "inside"])
    for _, family in families:  # claims outside their scope are judged for themselves
        holm = multipletests(family["p"], method="holm")[1]
        assert family["p_holm"].tolist() == pytest.approx(holm.tolist())
    assert families.ngroups > measured.groupby(["source", "tier"]).ngroups


def test_the_ledger_is_whole(ledger):
    assert set(ledger["verdict"]) <= set(VERDICTS) and ledger.index.is_unique
    told, rest = ledger[ledger["tier"] != ""], ledger[ledger["tier"] == ""]
    assert all((ROOT / file).is_file() for file in told["records"])
    sure = told.dropna(subset="ci_low")
    assert sure["value"].between(sure["ci_low"], sure["ci_high"]).all()
    assert told["ci_low"].isna().equals(told["smallest_effect"].isna())
    assert (rest["verdict"] == UNTESTED).all() and rest["value"].isna().all()
    assert (ledger["mini"] != UNTESTED).sum() >= 40 and (ledger["small"] != UNTESTED).sum() >= 12


def test_without_records_nothing_is_tested_and_each_claim_says_why(home):
    shutil.rmtree(home / "data" / "results")
    found = claims_ledger.judge_all(Evidence())
    table = lines(found)
    assert set(table["verdict"]) == {UNTESTED} == set(found["verdict"])
    told = table.loc["fp16_halves_the_file", "reason"]
    assert told == "The records are missing for small; the notebook of centernet_ptq writes them."
    records.write(claims_ledger.as_records(found), "mini", {})
