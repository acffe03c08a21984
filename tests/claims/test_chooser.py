"""Choices keep their bounds by the bad end of every interval."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlab.claims import chooser
from qlab.claims.chooser import KINDS
from qlab.core import records
from qlab.core.errors import QlabError
from qlab.core.records import Record

DETECTOR, LLAMA, *_ = KINDS.values()
TABLES = chooser.read_all("none", "mini")


@given(st.sampled_from(sorted(KINDS)), st.floats(0.05, 1.2) | st.just(math.inf),
       st.floats(0.0, 0.3), st.sampled_from(sorted(chooser.PREFER)))  # fmt: skip
def test_a_choice_keeps_every_bound_and_the_best_comes_first(name, share, loss, prefer):
    table = TABLES[name]
    kept = table[(table["share"] <= share) & (table["quality_low"] >= -loss)]
    found = chooser.choose(table, share, loss, prefer)
    assert set(found["variant"]) == set(kept["variant"])
    timed = found["time"].notna().to_numpy()
    if prefer == "time":  # what was not timed is never taken for its time
        assert not (timed[1:] & ~timed[:-1]).any()
    best = {"quality": -kept["quality_low"], "size": kept["share"], "time": kept["time_high"]}
    if best[prefer].notna().any():
        assert found.index[0] in best[prefer].index[best[prefer] == best[prefer].min()]


def made(sizes: dict, losses: dict, times=(), kind=DETECTOR, **more) -> pd.DataFrame:
    """`variants` of records with these sizes, differences and times."""
    here = (kind.experiment, "m", "d")
    rows = [Record(*here, v, "size_bytes", s, "byte") for v, s in sizes.items()]
    for metric, table in ((kind.quality, losses), (kind.time, dict(times))):
        better = int("per_s" in metric)
        rows += [Record(*here, v, metric, e[0], "1", *e[1:], 400, better=better)
                 for v, e in table.items()]  # fmt: skip
    twin = Record(kind.experiment, "twin", "d", "half", kind.quality, -0.9, "1", -1, -0.8, 9)
    return chooser.variants(kind, records.as_table([*rows, twin, *more.get("further", [])]))


@pytest.mark.parametrize("name", ["bf16", "as_is", "fp32"])
def test_the_parent_is_what_is_compared_to_none_whatever_its_name(name):
    score = Record(DETECTOR.experiment, "m", "d", name, "ap", 0.4, "1", 0.3, 0.5, 400)
    sizes, loss = {name: 1000, "half": 500, "killed": 1}, {"half": (-0.001, -0.002, 0.0)}
    found = made(sizes, loss, further=[score]).set_index("variant")
    assert found["parent"].to_dict() == {"half": False, name: True}  # killed: no choice, no parent
    assert found.loc["half", ["share", "quality"]].tolist() == [0.5, -0.001]  # the twin's is -0.9
    assert found.loc[name, ["n", "seeds", "quality", "time"]].tolist() == [400, 1, 0, 1]
    for wrong, told in (({"half": 1}, "none"), ({"p": 4, "half": 2, "q": 4}, "p, q")):
        with pytest.raises(QlabError, match=f"no single float parent.*found {told}. Run their"):
            made(wrong, loss)


def test_a_speed_is_turned_into_a_time_and_seeds_give_their_outermost_ends():
    other = Record(LLAMA.experiment, "m", "d", "a", LLAMA.quality, -0.03, "1", -0.07, -0.02, 400,
                   seed=1)  # fmt: skip
    table = made({"fp32": 4, "a": 2}, {"a": (-0.01, -0.02, 0.0)}, {"a": (2.0, 1.0, 4.0)}.items(),
                 LLAMA, further=[other])  # fmt: skip
    row = table.set_index("variant").loc["a"]
    assert row[["time", "time_low", "time_high"]].tolist() == [0.5, 0.25, 1.0]
    assert row[["quality", "quality_low", "quality_high", "seeds"]].tolist() == [-0.02, -0.07, 0, 2]


def test_what_has_an_adapter_is_no_choice_for_it_has_also_learned_the_task():
    sizes, gained = {"fp32": 40, "fp32_lora": 41, "w3": 10, "w3_lora": 11}, (0.2, 0.1, 0.3)
    losses = {"fp32_lora": gained, "w3": (-0.2, -0.3, -0.1), "w3_lora": (0.05, 0.0, 0.1)}
    here = (LLAMA.experiment, "m", "d")
    rows = [Record(*here, v, "recovery_difference", 0.2, "1", 0.1, 0.3, 400)
            for v in ("fp32_lora", "w3_lora")]  # fmt: skip
    found = made(sizes, losses, kind=LLAMA, further=rows).set_index("variant")
    assert found["quality"].to_dict() == {"w3": -0.2, "fp32": 0}
    assert found["parent"].to_dict() == {"w3": False, "fp32": True}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("cost", ["share", "time"])
def test_the_front_is_what_nothing_beats(name, cost):
    standing = chooser.standing(TABLES[name], cost)
    assert (standing == "unknown").equals(TABLES[name][cost].isna())
    table = TABLES[name].dropna(subset=[cost])
    front = table[standing.loc[table.index] == "unbeaten"].sort_values(cost)
    assert front["quality"].is_monotonic_increasing and len(front)
    for i, row in table.drop(front.index).iterrows():
        assert ((front[cost] <= row[cost]) & (front["quality"] >= row["quality"])).any()
        apart = (table["quality_low"] > row["quality_high"]).any()
        assert standing[i] == "beaten" or apart
