"""The ledger, from the committed records: whole, repeatable, and no verdict changes unseen."""

import io
import shutil
import subprocess
import tarfile

import nbformat
import pandas as pd
import pytest
from conftest import ROOT

from qlab.claims import ledger as claims_ledger
from qlab.claims.data import Evidence
from qlab.claims.verdicts import HOLDS, NOT, UNDECIDED, UNTESTED, VERDICTS
from qlab.core import records

CELLS = nbformat.read(ROOT / "notebooks" / "05_judge_the_claims.ipynb", 4).cells
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


def lines(judged: pd.DataFrame) -> pd.DataFrame:
    """The ledger, as cells of notebook 05 make it of all verdicts."""
    names = {"judged": judged, "UNTESTED": UNTESTED, "pd": pd}
    for cell in CELLS:
        if cell.id in ("ledger-line", "ledger-table"):
            exec(cell.source, names)
    return names["ledger"].set_index("id")


@pytest.fixture(scope="module")
def ledger(judged):
    return lines(judged)


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
    before, again = pd.read_csv(tmp_path / COMMITTED), claims_ledger.judge_all(Evidence())
    changed = changes(before, verdicts(again))
    assert changed.empty, f"run `make figures` and look: {changed[['metric_was', 'metric_is']]}"
    records.check(verdicts(again), "here")


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


def test_changed_records_change_their_verdicts_alone_and_the_nearest_tier_decides(copy, judged):
    file = copy / "data" / "results" / "mini" / "centernet_ptq.csv"
    table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    hit = (table["variant"] == "fp16") & (table["metric"] == "size_bytes")
    table.assign(value=table["value"].mask(hit, 3_000_000)).to_csv(file, index=False)
    found = changes(verdicts(judged), verdicts(claims_ledger.judge_all(Evidence())))
    assert list(found.index) == ["fp16_halves_the_file"]
    told = found[["part", "metric_was", "metric_is"]].iloc[0].tolist()
    assert told == ["mini", HOLDS, NOT] and found["value_is"].iloc[0] == pytest.approx(0.8094, 1e-4)
    own = copy / "data" / "results" / "full"
    own.mkdir()
    table.assign(model="r50", dataset="coco_val2017").to_csv(own / file.name, index=False)
    file = copy / "data" / "results" / "mini" / "llama_gptq.csv"
    table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    hit = (table["variant"] == "gptq_w8_g64") & (table["k"] == 5)
    hit &= table["metric"] == "top_first_token_difference"
    table.assign(ci_low=table["ci_low"].mask(hit, -0.02)).to_csv(file, index=False)
    again = claims_ledger.judge_all(Evidence())
    shown = lines(again).loc["int8_quarters_the_file"]
    assert shown[["verdict", "tier", "small"]].tolist() == [HOLDS, "full", NOT]
    wider = again.loc[("int8_keeps_top5", "mini")]
    assert wider["verdict"] == UNDECIDED and 0.01 < wider["smallest_effect"] < 0.02


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
    """Holm's: the smallest p value times the number of claims, and so on; as reckoned here."""
    measured = judged[(judged["kind"] == "measured") & judged["p"].notna()]
    assert ((measured["p"] < 0.05) & (measured["p_holm"] >= 0.05)).any()
    family = measured[measured["source"] == "qat_midterm"].xs("mini", level="tier")
    assert len(family) > 8
    least = 0.0
    for i, row in enumerate(family.sort_values("p").itertuples()):
        least = max(least, min(1.0, row.p * (len(family) - i)))
        assert row.p_holm == pytest.approx(least)
        assert least < 0.05 or row.verdict == UNDECIDED


def test_the_ledger_is_whole(ledger):
    assert set(ledger["verdict"]) <= set(VERDICTS) and ledger.index.is_unique
    assert (ledger["reason"].str.len() > 20).all()
    shown = ledger[ledger["tier"] != ""]
    assert (shown["figure"] != "").all() and (shown["n"] >= 1).all()
    assert all((ROOT / file).is_file() for file in shown["records"])
    sure = shown.dropna(subset="ci_low")
    assert (sure["ci_low"] <= sure["value"]).all() and (sure["value"] <= sure["ci_high"]).all()
    assert shown["ci_low"].isna().equals(shown["smallest_effect"].isna())
    rest = ledger[ledger["tier"] == ""]
    assert (rest["verdict"] == UNTESTED).all() and rest["value"].isna().all()
    assert (ledger["mini"] != UNTESTED).sum() >= 40 and (ledger["small"] != UNTESTED).sum() >= 12
    size = records.pick(records.read("centernet_ptq", "small"), "size_bytes")
    size, row = size.set_index("variant")["value"], ledger.loc["int8_quarters_the_file"]
    assert row["value"] == pytest.approx(size["int8_dynamic"] / size["fp32"])
    assert row["figure"] == f"{row['value']:.2f} x"


def test_what_is_missing_is_a_reason_and_no_error(copy, judged):
    shutil.rmtree(copy / "figures")
    found = claims_ledger.judge_all(Evidence())
    gone = found[(found["verdict"] != judged["verdict"])].index.unique("id")
    assert list(gone) == ["int2_answers_in_fragments", "layer_before_gets_a_quantizer"]
    told = found.loc[(gone[1], "small"), "reason"]
    assert told.startswith("The numbers of the figure qat_wrappers are missing for small; the n")
    for file in (copy / "data" / "results").rglob("*.csv"):
        file.unlink()
    found = claims_ledger.judge_all(Evidence())
    table = lines(found)
    assert set(table["verdict"]) == {UNTESTED} == set(found["verdict"])
    told = table.loc["fp16_halves_the_file", "reason"]
    assert told == "The records are missing for small; the notebook of centernet_ptq writes them."
    records.write(claims_ledger.as_records(found), "mini", {})
