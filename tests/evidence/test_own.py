"""Our own records as evidence models, on made-up and on the committed records."""

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
from qlab.evidence.measure import BOTH, EMBEDDED, OURS, REAL, SIX, SIX_AND_GIVEN, wide
from qlab.evidence.robustness import ALL, COUNTINGS, SPLIT

NAMED = ROOT / "data" / "evidence" / "own.yaml"
EXPERIMENTS = yaml.safe_load(NAMED.read_text(encoding="utf-8"))
WEIGHED = "records.write("  # of the cell after which all is weighed and kept


def put(home, profile: str, table: pd.DataFrame) -> None:
    folder = home / "data" / "results" / profile
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{table['experiment'].iloc[0]}.csv", index=False)


def resnet(seeds=(0,), **changes) -> pd.DataFrame:
    """Records of a float parent and three trained variants, some of parts of the network."""
    base = ("resnet_qat", "m", "d")
    made = [Record(*base, "fp32", "accuracy", 0.8, "1", 0.7, 0.9, 100),
            Record(*base, "fp32", "size_bytes", 1000, "byte")]  # fmt: skip
    parts = (("last", 10), ("last", 3), ("first", 9))
    others = (("qat_trained_only", "last", 10), ("ptq", "last", 10))
    for method, where, k in (*(("qat", *part) for part in parts), *others):
        variant = f"{method}_w8a8_{where}{k}"
        about = {"method": method, "bits": 8, "where": where, "k": k}
        for seed in seeds:
            of = (*base, variant)
            up, rest = 0.01 * seed, (100, seed)
            ends = (up - 0.04, "1", up - 0.06, up - 0.02)
            made.append(Record(*of, "accuracy", 0.76 + up, "1", 0.7, 0.9, *rest, **about))
            made.append(Record(*of, "accuracy_difference", *ends, *rest, **about))
        made.append(Record(*base, variant, "size_bytes", 300, "byte", **about))
        made.append(Record(*base, variant, "latency_ratio", 0.5, "1", 0.4, 0.6, 30, **about))
    about = {"method": "qat", "bits": 8, "where": "last", "k": 10}
    noisy = (*base, "qat_w8a8_last10")
    about |= {"condition": "noise", "strength": 1}
    made.append(Record(*noisy, "accuracy", 0.1, "1", 0.0, 0.2, 100, 0, **about))
    made.append(Record(*noisy, "accuracy_difference", -0.3, "1", -0.4, -0.2, 100, 0, **about))
    return records.as_table(made)


def models(table: pd.DataFrame, profile: str = "small") -> pd.DataFrame:
    return evidence_models.completed(own.of(table, profile, EXPERIMENTS["resnet_qat"]))


def test_improvements_are_those_of_the_records_of_whole_networks():
    table = models(resnet())
    assert dict(zip(table["configuration"], table["technique"], strict=True)) == {
        "qat_w8a8_last10": "qat", "ptq_w8a8_last10": "int8_static"}  # fmt: skip
    found = table.set_index(["configuration", "effect"]).loc["qat_w8a8_last10"]
    accuracy = found.loc["accuracy"]
    assert accuracy["improvement"] == pytest.approx(-5) and accuracy["intensity"] == "WN-IF"
    assert accuracy["standard_error"] == pytest.approx(100 * 0.04 / 3.919928 / 0.8)
    assert found.at["storage_size", "improvement"] == pytest.approx(70)
    assert found.at["inference_latency", "improvement"] == pytest.approx(50)
    assert set(table["belief"]) == {0.625} and set(table["study"]) == {"m"}
    assert set(models(resnet(), "mini")["belief"]) == {0.375}
    with pytest.raises(QlabError, match="no single float parent.*Run their notebook again"):
        models(resnet().query("variant != 'fp32'"))


def test_seeds_are_runs_of_one_configuration_with_the_error_over_seeds_and_items():
    seeds = resnet(seeds=(0, 1, 2))
    found = models(seeds).query("effect == 'accuracy'").iloc[0]
    assert found["runs"] == 3 and found["improvement"] == pytest.approx(-3.75)
    assert found["iqr"] == pytest.approx(1.25) and found["std"] == pytest.approx(1.25)
    assert np.isnan(found["standard_error"])
    assert found["belief"] == pytest.approx(0.625 * np.exp(-0.1 * 1.25 / 3.75))
    about = {"method": "qat", "bits": 8, "where": "last", "k": 10}
    of = ("resnet_qat", "m", "d", "qat_w8a8_last10", "accuracy_difference_over_seeds")
    over = records.as_table([Record(*of, -0.03, "1", -0.05, -0.01, 3, **about)])
    found = models(pd.concat([seeds, over], ignore_index=True))
    (error,) = found.query("configuration == 'qat_w8a8_last10' and runs == 3")["standard_error"]
    assert error == pytest.approx(100 * 0.04 / 3.919928 / 0.8)


def test_times_and_energy():
    one = Record("llama_gptq", "m", "d", "x", "tokens_per_s_ratio", 0.5, "1", 0.4, 0.8, better=1)
    improvement, error = own._latency(records.as_table([one]))
    assert improvement.item() == pytest.approx(-100)  # a speed turned into twice the time
    assert error.item() == pytest.approx(100 * (1 / 0.4 - 1 / 0.8) / 3.919928)
    table = resnet()
    table["clock"] = table["metric"] == "latency_ratio"  # of embedded models no evidence
    assert "inference_latency" in set(models(table, "small")["effect"])
    assert set(models(table, "mini")["effect"]) == {"accuracy", "storage_size"}
    more = [Record("resnet_qat", "m", "d", v, "energy_j", j, "J")
            for v, j in (("fp32", 4), ("qat_w8a8_last10", 3))]  # fmt: skip
    table = pd.concat([resnet(), records.as_table(more)], ignore_index=True)
    found = models(table).query("effect == 'inference_energy'")
    assert found[["configuration", "improvement"]].values.tolist() == [["qat_w8a8_last10", 25]]


def test_which_records_are_weighed(empty_home):
    assert own.weigh("smoke", NAMED)[1] == {}
    put(empty_home, "smoke", resnet())
    assert own.weigh("smoke", NAMED)[1] == {}, "smoke is too few items to be evidence"
    put(empty_home, "mini", resnet())
    for profile in ("smoke", "mini", "full"):
        table, files = own.weigh(profile, NAMED)
        assert files["m"].parent.name == "mini" and set(table["base"]) == {0.25}
    put(empty_home, "small", resnet().assign(model="real"))
    table, files = own.weigh("mini", NAMED)
    assert [file.parent.name for file in files.values()] == ["small", "mini"]
    assert list(dict.fromkeys(table["study"])) == ["real", "m"], "real models first"
    assert table.groupby("study")["base"].first().to_dict() == {"real": 0.5, "m": 0.25}
    put(empty_home, "full", resnet().assign(model="real"))
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


def test_countings_say_what_hangs_on_them_and_clocks_are_ours(weighed):
    timed = weighed.here[weighed.here["clock"]]
    assert set(timed["part"]) == {"inference_latency", "inference_energy"}
    assert set(timed["model"]) == {REAL, OURS, BOTH}
    made = shown.run("04_", "def countings(", **vars(weighed))
    found = made.countings(SIX)["hangs on counting"]
    assert found["f1"] == "direction" and found["storage_size"] == "no"
    assert found["inference_latency"] == "strength"  # IF-WP, PO-SP: better, by how much?
