"""The schema holds when written and when read, and a number says what it is about."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from qlab.core import records, stats
from qlab.core.errors import QlabError
from qlab.core.provenance import processor
from qlab.core.records import Metric, Record, Recorder

pytestmark = pytest.mark.usefixtures("empty_home")


def one(**changes) -> Record:
    base = {
        "experiment": "e", "model": "m", "dataset": "d", "variant": "fp32", "metric": "ap",
        "value": 0.5, "unit": "1", "ci_low": 0.4, "ci_high": 0.6, "n": 10, "parent": "f00d",
    }  # fmt: skip
    return Record(**(base | changes))


FULL = {
    "seed": 3, "method": "gptq", "bits": 4, "group_size": 64, "k": 5, "where": "last",
    "part": "layer1", "depth": 0, "condition": "noise", "strength": 2, "clock": True, "better": -1,
}  # fmt: skip


def test_written_records_read_back_equal_in_one_order():
    given = [one(**FULL), one(ci_low=None, ci_high=None), one(variant="fp16", device="gpu")]
    path = records.write(given, "mini", {"commit": "none"})
    before = path.read_bytes()
    table = records.read("e", "mini")
    assert list(table.columns) == records.COLUMNS
    (full,) = table[table["k"].notna()].to_dict("records")
    assert {name: full[name] for name in FULL} == FULL
    plain = table[table["k"].isna() & (table["variant"] == "fp32")].iloc[0]
    assert plain["device"] == processor() and plain["method"] is None and not plain["clock"]
    pd.testing.assert_frame_equal(records.check(table, "again"), table)
    assert records.write(given[::-1], "mini", {"commit": "none"}).read_bytes() == before
    path.write_bytes(b"\xef\xbb\xbf" + before.replace(b"\n", b"\r\n"))  # as spreadsheets save it
    pd.testing.assert_frame_equal(records.read_file(path), table)
    assert json.loads(records.provenance_path(path).read_text()) == {"commit": "none"}


@pytest.mark.parametrize("column", records.KEY[1:])
def test_what_differs_in_a_column_of_the_key_is_another_record(column):
    other = one(**{column: 7 if column in ("k", "depth", "strength", "seed") else "x"})
    records.write([one(), other], "mini", {})
    assert len(records.read("e", "mini")) == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"value": np.nan}, "row 3 .*'fp32', metric 'x'.: column 'value' must not be empty"),
        ({"unit": " "}, "'unit' is ' ': .* should match"),
        ({"value": np.inf}, "'value' is inf: .* a finite number"),
        ({"n": 0}, "'n' is 0: .* greater than 0"),
        ({"better": 2}, "better must be -1, 0 or 1"),
        ({"ci_low": None}, "ci_low and ci_high come together"),
        ({"ci_low": 0.7}, "ci_low must not exceed ci_high"),
        ({"parent": "cafe"}, "a model must have one parent"),
        ({"parent": None}, "a model must have one parent"),
        ({"metric": "ap"}, "a record must not be there twice"),
    ],
)
def test_a_broken_record_is_refused_and_the_old_file_stays(changes, sentence):
    path = records.write([one()], "mini", {})
    before = path.read_bytes()
    with pytest.raises(QlabError, match=f"records of e.*{sentence}"):
        records.write([one(), one(**{"metric": "x", **changes})], "mini", {})
    assert path.read_bytes() == before
    with pytest.raises(QlabError, match="measured nothing"):
        records.write([], "mini", {})


def test_a_file_that_is_no_table_of_records_is_refused():
    file = records.write([one(seed=3)], "mini", {})
    whole = file.read_bytes()
    for content, sentence in (
        (b"\xff\xfe\x00", " is no table"),
        (b"a,b\n1,2\n", ": the columns must"),
        (whole.replace(b",False,", b",sometimes,"), ", row 2 .*: column 'clock' is .* boolean"),
        (whole.replace(b",3,", b",x,"), ", row 2 .*: column 'seed' is 'x': .* integer"),
        (whole.replace(b"0.5", b"half"), ", row 2 .*: column 'value' is 'half': .* number"),
    ):
        file.write_bytes(content)
        with pytest.raises(QlabError, match=f"e.csv.*{sentence}"):
            records.read("e", "mini")
    file.unlink()
    with pytest.raises(QlabError, match="python -m qlab run NOTEBOOK -p profile=mini"):
        records.read("e", "mini")


def test_rows_are_picked_by_metric_and_columns_and_shown_with_their_interval():
    given = [one(), one(variant="fp16", value=0.7), one(metric="ar"), one(condition="blur")]
    table = records.as_table([*given, one(metric="kb", ci_low=None, ci_high=None)])
    assert len(records.pick(table, ["ap", "ar"], variant="fp32")) == 3
    assert len(records.pick(table, "ap", condition=None)) == 2
    assert records.value(table, "fp16", "ap") == 0.7 and records.value(table, "fp8", "ap") is None
    shown = [records.interval(row, ".1f", 100) for _, row in table.iterrows()]
    assert shown[0] == "50.0 [40.0, 60.0]" and shown[-1] == "50.0"


def test_unit_direction_and_clock_come_from_the_table_of_metrics():
    metrics = {"ms": Metric("ms", -1, True), "acc_difference": Metric("1", 1), **records.COMPARED}
    metrics |= dict.fromkeys(("flips_lost", "flips_gained"), Metric("item"))
    recorder, task = Recorder("e", metrics), SimpleNamespace(model="m", dataset="d")
    timed = recorder.estimated(task, "int8", "ms", stats.Estimate(2.0, 1.0, 3.0, 9), bits=8)
    assert (timed.unit, timed.better, timed.clock, timed.bits) == ("ms", -1, True, 8)
    assert (timed.ci_low, timed.ci_high, timed.n, timed.model) == (1.0, 3.0, 9, "m")
    flips = stats.paired(np.array([True, True, False]), np.array([True, False, False]))
    compared = recorder.compared(task, "int8", "acc", flips, where="last")
    assert [r.metric for r in compared][:2] == ["acc_difference", "flip_rate"]
    assert {(r.where, r.n) for r in compared} == {("last", 3)} and compared[2].value == 1
    with pytest.raises(KeyError):
        recorder.counted(task, "int8", "unknown", 1)
