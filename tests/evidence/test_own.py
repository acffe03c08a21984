"""Our own records as evidence models."""

import committed
import numpy as np
import pandas as pd
import pytest
import shown
import yaml
from conftest import ROOT

from qlab.core import records
from qlab.core.errors import QlabError
from qlab.core.records import Record
from qlab.evidence import data, own, robustness
from qlab.evidence import models as evidence_models
from qlab.evidence.measure import BOTH, EMBEDDED, OURS, REAL, SIX_AND_GIVEN, wide
from qlab.evidence.robustness import ALL, COUNTINGS, SPLIT

NAMED = ROOT / "data" / "evidence" / "own.yaml"
EXPERIMENTS = yaml.safe_load(NAMED.read_text(encoding="utf-8"))
WEIGHED = "records.write("  # of the cell after which all is weighed and kept


def put(home, profile: str, table: pd.DataFrame) -> None:
    folder = home / "data" / "results" / profile
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{table['experiment'].iloc[0]}.csv", index=False)


SMALL, MINI = (committed.table("resnet_qat", tier) for tier in ("small", "mini"))
Z2 = 2 * 1.959964  # from an interval to its standard error


def models(table: pd.DataFrame, profile: str = "small") -> pd.DataFrame:
    return evidence_models.completed(own.of(table, profile, EXPERIMENTS["resnet_qat"]))


def one(table: pd.DataFrame, configuration: str, effect: str = "accuracy") -> pd.Series:
    return table.set_index(["configuration", "effect"]).loc[(configuration, effect)]


def plain(metric: str, variant: str = "fp32") -> pd.DataFrame:
    return records.pick(SMALL, metric, variant=variant, condition=None)


def test_improvements_are_those_of_the_records_of_whole_networks():
    table = models(SMALL)
    assert dict(zip(table["configuration"], table["technique"], strict=True)) == {
        "qat_w8a8_last22": "qat", "qat_w4a8_last22": "qat_w4",
        "ptq_w8a8_last22": "int8_static", "ptq_w4a8_last22": "int4_static"}  # fmt: skip
    name = "ptq_w8a8_last22"
    accuracy, size = (plain(metric)["value"].item() for metric in ("accuracy", "size_bytes"))
    change, found = plain("accuracy_difference", name).iloc[0], one(table, name)
    assert found["improvement"] == pytest.approx(100 * change["value"] / accuracy)
    error = 100 * (change["ci_high"] - change["ci_low"]) / Z2 / accuracy
    assert found["standard_error"] == pytest.approx(error)
    for effect, left in (
        ("storage_size", plain("size_bytes", name)["value"].item() / size),
        ("inference_latency", plain("latency_ratio", name)["value"].item()),
    ):
        assert one(table, name, effect)["improvement"] == pytest.approx(100 * (1 - left))
    assert found["belief"] == 0.625 and set(table["study"]) == {"resnet20_cifar10"}
    assert set(models(MINI, "mini")["belief"]) == {0.375}


def test_seeds_are_runs_of_one_configuration_with_the_error_over_seeds_and_items():
    name, over = "qat_w8a8_last22", "accuracy_difference_over_seeds"
    accuracy, found = plain("accuracy")["value"].item(), one(models(SMALL), name)
    each = 100 * plain("accuracy_difference", name)["value"] / accuracy
    spread = each.quantile(0.75) - each.quantile(0.25)
    told = [found[column] for column in ("runs", "improvement", "iqr", "std")]
    assert told == pytest.approx([len(each), each.mean(), spread, each.std()])
    assert found["belief"] == pytest.approx(0.625 * np.exp(-0.1 * spread / each.mean()))
    ends = plain(over, name).iloc[0]
    error = 100 * (ends["ci_high"] - ends["ci_low"]) / Z2 / accuracy
    assert found["standard_error"] == pytest.approx(error)
    assert np.isnan(one(models(SMALL[SMALL["metric"] != over]), name)["standard_error"])


def test_times_and_energy():
    speed = Record("llama_gptq", "m", "d", "x", "tokens_per_s_ratio", 0.5, "1", 0.4, 0.8, better=1)
    improvement, error = own._latency(records.as_table([speed]))
    assert improvement.item() == pytest.approx(-100)  # a speed turned into twice the time
    assert error.item() == pytest.approx(100 * (1 / 0.4 - 1 / 0.8) / Z2)
    assert set(models(MINI, "mini")["effect"]) == {"accuracy", "storage_size"}  # on no clock
    energy = records.pick(SMALL, "size_bytes", variant=["fp32", "ptq_w8a8_last22"])
    energy = energy.assign(metric="energy_j", value=[4.0, 3.0])
    found = models(pd.concat([SMALL, energy])).query("effect == 'inference_energy'")
    assert found[["configuration", "improvement"]].values.tolist() == [["ptq_w8a8_last22", 25]]


def test_which_records_are_weighed(empty_home):
    assert own.weigh("smoke", NAMED)[1] == {}
    put(empty_home, "smoke", MINI)
    assert own.weigh("smoke", NAMED)[1] == {}, "smoke is too few items to be evidence"
    put(empty_home, "mini", MINI)
    for profile in ("smoke", "mini", "full"):
        table, files = own.weigh(profile, NAMED)
        assert files["resnet8_shapes32"].parent.name == "mini" and set(table["base"]) == {0.25}
    put(empty_home, "small", MINI.assign(model="real"))
    table, files = own.weigh("mini", NAMED)
    assert [file.parent.name for file in files.values()] == ["small", "mini"]
    assert list(dict.fromkeys(table["study"])) == ["real", "resnet8_shapes32"]
    assert table.groupby("study", sort=False)["base"].first().tolist() == [0.5, 0.25]
    put(empty_home, "full", MINI.assign(model="real"))
    table, files = own.weigh("full", NAMED)
    assert files["real"].parent.name == "full", "a model of two profiles counts once"
    assert not table.duplicated(["study", "configuration", "effect"]).any()
    assert own.weigh("mini", NAMED)[1]["real"].parent.name == "small"


@pytest.fixture(scope="module")
def weighed(shared_home):
    """What notebook 04 makes of the committed records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLAB_HOME", str(shared_home))
        return shown.run_until("04_", WEIGHED, profile="mini")


def test_the_committed_records_become_models_of_every_experiment(weighed):
    ours, tiers = weighed.task.ours, weighed.task.tiers
    assert list(tiers.values()) == ["small"] * 3 + ["mini"] * 4 and set(tiers) == set(ours["study"])
    for (study, effect), rows in ours.groupby(["study", "effect"]):
        assert rows["technique"].is_unique, f"{study}, {effect}: a technique counts once"
    for tier in ("small", "mini"):
        results = ROOT / "data" / "results" / tier
        there = [how for name, how in EXPERIMENTS.items() if (results / f"{name}.csv").is_file()]
        named = {t for how in there for t in how["techniques"]}
        assert named == set(ours[ours["study"].map(tiers) == tier]["technique"])
    half = ours.query("technique == 'fp16' and effect == 'storage_size'")
    assert half["improvement"].between(45, 50.5).all() and len(half) == 4


def test_a_study_of_ours_has_one_belief_in_all_ways_but_the_papers(weighed):
    ours = weighed.task.ours
    for body in (OURS, BOTH):
        of = weighed.ways(weighed.bodies[body], list(weighed.task.tiers))
        for way, rows in of.items():
            mine = rows[rows["study"].isin(weighed.task.tiers)]
            said = 1 - (1 - mine["belief"]).groupby([mine["study"], mine["effect"]]).prod()
            assert (said.max() > 0.63) == (way == ALL), way
    most = wide(weighed.here, OURS, ALL).at["accuracy", "models"]
    assert most == (ours["effect"] == "accuracy").sum()
    assert weighed.WAYS[REAL] == weighed.WAYS[EMBEDDED] == list(COUNTINGS)
    parts = [wide(weighed.here, body, SPLIT)["studies"] for body in (REAL, EMBEDDED, OURS)]
    assert parts[0].add(parts[1], fill_value=0).to_dict() == parts[2].to_dict()


def test_a_given_study_is_weighed_and_goes_to_a_place_of_its_own(home, tmp_path):
    given, columns = tmp_path / "mine.csv", ",".join(evidence_models.COLUMNS)
    row = "{},w8a8,int8_static,accuracy,top-1,-30,,,,9,0.5,1,,,Me"
    given.write_text(f"{columns}\n{row.format('mine')}\n", encoding="utf-8")
    made = shown.run_until("04_", "bodies[whole]", profile="mini", studies=str(given))
    assert made.task.place.startswith("mini-evidence-") and "given" in made.task.inputs
    assert (made.bodies[SIX_AND_GIVEN]["effect"] == "accuracy").sum() == 18
    for known in ("tao_2022", "resnet20_cifar10"):
        given.write_text(f"{columns}\n{row.format(known)}\n", encoding="utf-8")
        with pytest.raises(QlabError, match=f"column 'study': '{known}' is the name of a study"):
            data.prepare(data.Parameters(studies=str(given)))


def test_our_base_belief_is_tried_otherwise(weighed):
    mine = list(weighed.task.tiers)
    beliefs = [
        robustness.rebased(weighed.task.rows, mine, base).query("study in @mine")["belief"].max()
        for base in (0, 0.25, 0.5)
    ]
    assert beliefs == pytest.approx([0.125, 0.375, 0.625])
    six = robustness.rebased(weighed.task.rows, mine, 0).query("study not in @mine")
    assert six.reset_index(drop=True).equals(weighed.task.six), "published beliefs stay"
    assert {"ours_base_0", "ours_base_25", "ours_base_50"} <= set(weighed.WAYS[BOTH])
