"""Choices keep their bounds by the bad end of every interval, or say what the nearest costs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.claims import chooser
from qlab.claims.chooser import KINDS, sentence
from qlab.core import records
from qlab.core.errors import QlabError
from qlab.core.records import Record

DETECTOR, LLAMA, CLASSIFIER = KINDS.values()
PARENT = "fp32"  # of the committed records
TABLES = chooser.read_all("mini")
bounds = st.one_of(st.none(), st.floats(0.05, 1.2))
losses = st.one_of(st.none(), st.floats(0.0, 0.3))


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(list(KINDS.values())), share=bounds, loss=losses,
       prefer=st.sampled_from(["", "quality", "size", "time"]))  # fmt: skip
def test_a_choice_keeps_every_bound_or_nothing_does(kind, share, loss, prefer):
    table = TABLES[kind.name]
    if share is None and loss is None:
        return
    found = chooser.choose(kind, table, share, max_loss=loss, prefer=prefer)
    small = table["share"] <= (np.inf if share is None else share)
    good = table["quality_low"] >= (-np.inf if loss is None else -loss)
    assert (found.taken is None) == (not (small & good).any())
    assert set(found.fitting["variant"]) == set(table[small & good]["variant"])
    told = sentence(found)
    assert told.startswith("For at most" if found.taken is not None else f"No {kind.name} measured")
    if found.taken is not None:
        assert f"take {found.taken['variant']};" in told


def test_the_bad_end_decides_and_not_the_point():
    """bnb_nf4 loses 1.85 points of acc, but its interval reaches to 3.3."""
    row = TABLES["language model"].set_index("variant").loc["bnb_nf4"]
    assert -row["quality"] < 0.02 < -row["quality_low"]
    at_point = chooser.choose(LLAMA, TABLES["language model"], max_loss=-row["quality"] + 1e-6)
    at_end = chooser.choose(LLAMA, TABLES["language model"], max_loss=-row["quality_low"] + 1e-6)
    assert "bnb_nf4" not in set(at_point.fitting["variant"])
    assert "bnb_nf4" in set(at_end.fitting["variant"])


def test_each_preference_takes_the_best_of_its_kind():
    table = TABLES["detector"]
    ask = {"max_share": 0.3, "max_loss": 0.02}
    kept = table[(table["share"] <= 0.3) & (table["quality_low"] >= -0.02)]
    best_of = {"quality": kept["quality_low"].idxmax(), "size": kept["size"].idxmin()}
    for prefer, best in (best_of | {"time": kept["time_high"].idxmin()}).items():
        taken = chooser.choose(DETECTOR, table, prefer=prefer, **ask).taken
        assert taken["variant"] == table.loc[best, "variant"], prefer
    assert chooser.choose(DETECTOR, table, **ask).prefer == "quality"
    assert chooser.choose(DETECTOR, table, max_loss=0.02).prefer == "size"


def test_what_was_not_timed_is_never_taken_for_its_time():
    found = chooser.choose(LLAMA, TABLES["language model"], max_loss=0.3, prefer="time").fitting
    timed = found["time"].notna().to_numpy()
    assert timed.any() and not timed.all()
    assert not (timed[1:] & ~timed[:-1]).any()  # all that were come first
    few = TABLES["classifier"].query("share < 0.3")
    whole = pd.concat([few, TABLES["classifier"].query("variant == @PARENT")])
    told = sentence(chooser.choose(CLASSIFIER, whole, 0.3, max_loss=0.05, prefer="time"))
    assert "none of which was timed" in told


def made() -> pd.DataFrame:
    """Four variants with round numbers, through records."""
    sizes = {PARENT: 1000, "half": 500, "quarter": 250, "tenth": 100}
    loss = {"half": (-0.001, -0.002, 0.0), "quarter": (-0.005, -0.009, -0.001),
            "tenth": (-0.05, -0.09, -0.01)}  # fmt: skip
    times = {"quarter": (0.25, 0.2, 0.33), "tenth": (0.5, 0.4, 0.6)}
    return chooser.variants(DETECTOR, as_records(sizes, loss, times))


def as_records(sizes, loss, times, time="latency_ratio_p50", n=400):
    here = ("centernet_ptq", "m", "d")
    rows = [Record(*here, v, "size_bytes", s, "byte") for v, s in sizes.items()]
    for metric, table in (("ap_difference", loss), (time, times)):
        rows += [Record(*here, v, metric, e[0], "1", *e[1:], n) for v, e in table.items()]
    return records.as_table(rows)


@pytest.mark.parametrize("name", ["bf16", "as_is", PARENT])
def test_the_parent_is_what_is_compared_to_none_whatever_its_name(name):
    """A run on a GPU may have no fp32: its parent is bf16."""
    table = as_records({name: 1000, "half": 500}, {"half": (-0.001, -0.002, 0.0)}, {})
    found = chooser.variants(DETECTOR, table).set_index("variant")
    assert found["parent"].to_dict() == {"half": False, name: True}
    assert found.loc["half", "share"] == 0.5 and found.loc[name, "n"] == 400
    taken = chooser.choose(DETECTOR, found.reset_index(), max_loss=0.0001)
    assert f"take {name}; expect 1,000 bytes (100.0% of float's), AP 0 points" in sentence(taken)
    assert (chooser.standing(found) == "unbeaten").all()


def test_a_variant_that_was_not_judged_is_no_choice_and_no_parent():
    table = as_records({"bf16": 4, "a": 2, "killed": 1}, {"a": (0.0, -0.1, 0.1)}, {})
    score = Record("centernet_ptq", "m", "d", "bf16", "ap", 0.4, "1", 0.3, 0.5, 400)
    found = chooser.variants(DETECTOR, pd.concat([table, records.as_table([score])]))
    assert found["variant"].tolist() == ["a", "bf16"] and found["parent"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("sizes", "told"), [({"a": 1}, "none"), ({"p": 4, "a": 2, "q": 4}, "p, q")]
)
def test_records_without_one_parent_are_refused(sizes, told):
    table = as_records(sizes, {"a": (0.0, -0.1, 0.1)}, {})
    with pytest.raises(QlabError, match=f"the float parent, .* found {told}. Run its notebook"):
        chooser.variants(DETECTOR, table)


def test_a_speed_is_turned_into_a_time():
    kind = DETECTOR._replace(is_speed=True)
    sizes, loss = {PARENT: 4, "a": 2}, {"a": (0.0, -0.1, 0.1)}
    table = chooser.variants(kind, as_records(sizes, loss, {"a": (2.0, 1.0, 4.0)}))
    row = table.set_index("variant").loc["a"]
    assert row[["time", "time_low", "time_high"]].tolist() == [0.5, 0.25, 1.0]
    assert (TABLES["language model"]["time_low"] <= TABLES["language model"]["time"]).sum() == 8


def test_seeds_give_their_mean_between_the_outermost_ends():
    table = as_records({PARENT: 4, "a": 2}, {"a": (-0.01, -0.02, 0.0)}, {})
    other = table[table["metric"] == "ap_difference"]
    other = other.assign(value=-0.03, ci_low=-0.07, ci_high=-0.02, seed=1)
    row = chooser.variants(DETECTOR, pd.concat([table, other])).set_index("variant").loc["a"]
    found = row[["quality", "quality_low", "quality_high", "seeds"]].tolist()
    assert found == [-0.02, -0.07, 0.0, 2]


def test_only_the_model_itself_on_its_own_items_is_offered():
    """Neither the even twin, nor corrupted images, nor last sentences are variants."""
    table = records.read("llama_gptq", "mini")
    assert {"llama_mini", "llama_mini_even"} <= set(table["model"])
    found = TABLES["language model"]
    assert found["variant"].is_unique and "gptq_w2_g64" in set(found["variant"])
    assert found.set_index("variant").loc["gptq_w2_g64", "quality"] < -0.5  # the twin's is -0.05
    assert TABLES["detector"]["variant"].is_unique


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cost", ["share", "time"])
def test_the_front_is_what_nothing_beats(kind, cost):
    table = TABLES[kind].dropna(subset=[cost])
    standing = chooser.standing(table, cost)
    front = table[standing == "unbeaten"].sort_values(cost)
    assert front["quality"].is_monotonic_increasing and front[cost].is_monotonic_increasing
    for i, row in table[standing != "unbeaten"].iterrows():
        as_good = front[(front[cost] <= row[cost]) & (front["quality"] >= row["quality"])]
        assert len(as_good), row["variant"]
        apart = (table["quality_low"] > row["quality_high"]).any()
        assert standing[i] == "beaten" or apart
    assert PARENT in set(table["variant"]) and len(front) >= 1


def test_overlapping_intervals_do_not_beat_surely():
    table = made().assign(share=[0.1, 0.25, 0.5, 1.0])
    worse = table.iloc[[1]].assign(variant="worse", share=0.3, quality=-0.006)
    both = pd.concat([table, worse], ignore_index=True)
    for low, high, expected in ((-0.01, -0.002, "beaten"), (-0.03, -0.01, "surely beaten")):
        both.loc[4, ["quality_low", "quality_high"]] = low, high
        assert chooser.standing(both)[4] == expected
    assert chooser.standing(both, "time")[2] == "unknown"


def test_the_first_profile_with_records_is_read():
    assert chooser.read_all("none") == {}
    for found in (chooser.read_all("none", "mini"), chooser.read_all("mini", "none")):
        assert list(found) == list(KINDS)
        assert all(found[name].equals(TABLES[name]) for name in KINDS)
    assert TABLES["classifier"]["seeds"].max() > 1  # of the long sweep


def test_ends_over_seeds_are_those_of_the_record_over_seeds():
    about = {"experiment": "resnet_qat", "model": "m", "dataset": "d", "variant": "q"}
    each = [
        Record(**about, metric="accuracy_difference", value=x, unit="1", ci_low=x - 0.1,
               ci_high=x + 0.1, n=100, seed=i) for i, x in enumerate((-0.02, -0.04))
    ]  # fmt: skip
    size = {"metric": "size_bytes", "unit": "byte"}
    sizes = [Record(**about, **size, value=1.0), Record(**about | {"variant": PARENT}, **size,
                                                        value=4.0)]  # fmt: skip
    accuracy = Record(**about | {"variant": PARENT}, metric="accuracy", value=0.9, unit="1")
    over = Record(**about, metric="accuracy_difference_over_seeds", value=-0.03, unit="1",
                  ci_low=-0.05, ci_high=-0.01, n=2)  # fmt: skip
    for more, low, high in (([], -0.14, 0.08), ([over], -0.05, -0.01)):
        table = records.as_table([*each, *sizes, accuracy, *more])
        [row] = chooser.variants(CLASSIFIER, table).query("variant == 'q'").to_dict("records")
        assert row["quality"] == pytest.approx(-0.03) and (row["n"], row["seeds"]) == (100, 2)
        assert (row["quality_low"], row["quality_high"]) == (pytest.approx(low), high)
