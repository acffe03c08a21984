"""Our own records as evidence models, on made-up and on the committed records."""

import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from qlab.core import records
from qlab.core.errors import QlabError
from qlab.core.records import Record
from qlab.evidence import data, measure, own
from qlab.evidence import models as evidence_models


@pytest.fixture
def evidence_home(tmp_path, monkeypatch):
    """A home with the tables of evidence and no records."""
    home = tmp_path / "bare"
    shutil.copytree(ROOT / "data" / "evidence", home / "data" / "evidence")
    monkeypatch.setenv("QLAB_HOME", str(home))
    return home


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


def prepared(profile: str, **given) -> data.Task:
    return data.prepare(data.Parameters(profile=profile, **given))


def models(table: pd.DataFrame) -> pd.DataFrame:
    return evidence_models.completed(own.models("resnet_qat", table, 0.25))


def test_improvements_are_those_of_the_records():
    found = models(resnet()).set_index(["configuration", "effect"])
    accuracy = found.loc[("qat_w8a8_last10", "accuracy")]
    assert accuracy["improvement"] == pytest.approx(-5) and accuracy["intensity"] == "WN-IF"
    assert accuracy["standard_error"] == pytest.approx(100 * 0.04 / 3.919928 / 0.8)
    assert found.at[("qat_w8a8_last10", "storage_size"), "improvement"] == pytest.approx(70)
    assert found.at[("qat_w8a8_last10", "inference_latency"), "improvement"] == pytest.approx(50)
    assert set(found["belief"]) == {0.375}


def test_parts_of_a_network_and_other_conditions_are_left_out():
    found = models(resnet())
    assert set(found["configuration"]) == {"qat_w8a8_last10", "ptq_w8a8_last10"}
    assert dict(zip(found["configuration"], found["technique"], strict=True)) == {
        "qat_w8a8_last10": "qat", "ptq_w8a8_last10": "int8_static"}  # fmt: skip


def test_seeds_are_runs_of_one_configuration():
    found = models(resnet(seeds=(0, 1, 2))).query("effect == 'accuracy'").iloc[0]
    assert found["runs"] == 3 and found["improvement"] == pytest.approx(-3.75)
    assert found["iqr"] == pytest.approx(1.25) and found["std"] == pytest.approx(1.25)
    assert np.isnan(found["standard_error"])
    assert found["belief"] == pytest.approx(0.375 * np.exp(-0.1 * 1.25 / 3.75))


def test_a_speed_is_turned_into_a_time():
    one = records.as_table(
        [Record("llama_gptq", "m", "d", "x", "tokens_per_s_ratio", 0.5, "1", 0.4, 0.8)]
    )
    found = own._latency(one, own.EXPERIMENTS["llama_gptq"])
    assert found["improvement"] == pytest.approx(-100)  # twice the time
    assert found["standard_error"] == pytest.approx(100 * (1 / 0.4 - 1 / 0.8) / 3.919928)


def test_energy_enters_where_it_was_measured():
    more = [Record("resnet_qat", "m", "d", v, "energy_j", j, "J")
            for v, j in (("fp32", 4), ("qat_w8a8_last10", 3))]  # fmt: skip
    table = pd.concat([resnet(), records.as_table(more)], ignore_index=True)
    found = models(table).query("effect == 'inference_energy'")
    assert found[["configuration", "improvement"]].values.tolist() == [["qat_w8a8_last10", 25]]
    assert models(resnet()).query("effect == 'inference_energy'").empty


def test_records_without_a_parent_are_refused():
    table = resnet()
    with pytest.raises(QlabError, match="no single float parent.*Run its notebook again"):
        models(table[table["variant"] != "fp32"])


def test_which_profile_is_weighed(evidence_home):
    assert own.weigh("smoke")[1] == {}
    put(evidence_home, "smoke", resnet())
    assert own.weigh("smoke")[1] == {}, "smoke is too few items to be evidence"
    put(evidence_home, "mini", resnet())
    for profile in ("smoke", "mini", "full"):
        table, origins = own.weigh(profile)
        assert origins == {"resnet_qat": "mini"} and set(table["base"]) == {0.25}
    put(evidence_home, "full", resnet())
    assert own.weigh("mini")[1] == {"resnet_qat": "mini"}
    table, origins = own.weigh("full")
    assert origins == {"resnet_qat": "full"} and set(table["base"]) == {0.5}


def test_without_any_records_the_six_studies_are_weighed(evidence_home):
    task = prepared("smoke")
    table = records.check(records.as_table(data.weigh(task)), "records")
    assert set(table["model"]) == {"six_studies"}
    assert task.origins == {} and task.ours.empty


@pytest.fixture
def committed(evidence_home):
    """A home with the committed records of the first three experiments."""
    for experiment in own.EXPERIMENTS:
        source = ROOT / "data" / "results" / "mini" / f"{experiment}.csv"
        target = evidence_home / "data" / "results" / "mini" / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return evidence_home


def test_the_committed_records_become_models_of_every_experiment(committed):
    task = prepared("mini")
    assert set(task.origins.values()) == {"mini"} and len(task.origins) == 3
    assert {"fp16", "int8_dynamic", "int8_static", "gptq_w8", "gptq_w4", "gptq_w2", "qat"} <= set(
        task.ours["technique"]
    )
    assert set(task.ours["study"]) == set(own.EXPERIMENTS)
    half = task.ours.query("technique == 'fp16' and effect == 'storage_size'")
    assert half["improvement"].between(45, 50.5).all() and len(half) == 2
    assert not task.ours.duplicated(["study", "configuration", "effect"]).any()


def given_study(folder, study: str) -> str:
    """A file of one's own, of one evidence model."""
    row = f"{study},w8a8,int8_static,accuracy,top-1,-30,,,,9,0.5,1,,,Me"
    path = folder / "mine.csv"
    path.write_text(f"{','.join(evidence_models.COLUMNS)}\n{row}\n", encoding="utf-8")
    return str(path)


def test_a_given_study_is_weighed_and_goes_to_a_place_of_its_own(committed, tmp_path):
    task = prepared("mini", studies=given_study(tmp_path, "mine"))
    assert task.place.startswith("mini-evidence-") and "given" in task.inputs()
    table = records.check(records.as_table(data.weigh(task)), "records")
    with_given = measure.wide(table, "six_studies_and_given", "all_models")
    assert with_given.at["accuracy", "models"] == 18
    with pytest.raises(QlabError, match="column 'study': 'tao_2022' is the name of a study"):
        prepared("mini", studies=given_study(tmp_path, "tao_2022"))


def test_our_base_belief_is_tried_otherwise(committed):
    task = prepared("mini")
    beliefs = [own.rebased(task.ours, base)["belief"].max() for base in (0, 0.25, 0.5)]
    assert beliefs == pytest.approx([0.125, 0.375, 0.625])
    assert own.rebased(task.ours, 0.25).equals(task.ours)
    table = records.as_table(data.weigh(task))
    both = "six_studies_and_ours"
    assert {"ours_base_0", "ours_base_25", "ours_base_50"} <= set(task.ways)
    techniques = measure.techniques(table, both, task.ways)
    assert techniques == sorted({*task.six["technique"], *task.ours["technique"]})
    chosen = measure.wide(table, both, "ours_base_25")
    assert chosen["belief"].equals(measure.wide(table, both, "all_models")["belief"])


def test_a_clock_had_a_part_in_what_we_measured_and_in_nothing_published(committed):
    table = records.as_table(data.weigh(prepared("mini")))
    timed = table[table["clock"]]
    assert set(timed["part"]) == {"inference_latency", "inference_energy"}
    assert set(timed["model"]) == {"ours", "six_studies_and_ours"}
    assert set(table[table["part"] == "inference_latency"]["clock"]) == {True, False}
