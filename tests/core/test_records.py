"""The schema holds when written and when read."""

import errno
import json
from pathlib import Path

import pandas as pd
import pytest

from qlab.core import records
from qlab.core.errors import QlabError
from qlab.core.records import Record


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    return tmp_path


def one(**changes) -> Record:
    base = {
        "experiment": "e", "model": "m", "dataset": "d", "variant": "fp32", "metric": "ap",
        "value": 0.5, "unit": "1", "ci_low": 0.4, "ci_high": 0.6, "n": 10,
    }  # fmt: skip
    return Record(**(base | changes))


def test_written_records_read_back_equal():
    given = [one(), one(metric="size_bytes", unit="byte", value=12345.0, ci_low=None, ci_high=None)]
    path = records.write(given, "mini", {"commit": "none"})
    table = records.read("e", "mini")
    assert list(table.columns) == records.COLUMNS
    assert set(table["value"]) == {0.5, 12345.0}
    assert json.loads(path.with_suffix(".provenance.json").read_text()) == {"commit": "none"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"value": float("nan")}, "'value' must be finite"),
        ({"value": float("inf")}, "'value' must be finite"),
        ({"metric": ""}, "'metric' must not be empty"),
        ({"n": 0}, "'n' must be 1 or more"),
        ({"ci_low": None}, "come together"),
        ({"ci_low": 0.7}, "must not exceed ci_high"),
    ],
)
def test_a_broken_record_is_refused_and_the_old_file_stays(changes, sentence):
    path = records.write([one()], "mini", {})
    before = path.read_bytes()
    with pytest.raises(QlabError, match=sentence):
        records.write([one(variant="fp16"), one(**changes)], "mini", {})
    assert path.read_bytes() == before


def test_the_same_measurement_twice_is_refused():
    with pytest.raises(QlabError, match="recorded twice"):
        records.write([one(), one(value=0.6)], "mini", {})


def test_nothing_measured_is_refused():
    with pytest.raises(QlabError, match="measured nothing"):
        records.write([], "mini", {})


def test_a_file_changed_by_hand_is_refused_with_its_row(home):
    path = records.write([one(), one(variant="fp16")], "mini", {})
    path.write_text(path.read_text().replace("0.5", "half", 1))
    with pytest.raises(QlabError, match=r"row 2: column 'value' must be a number; found 'half'"):
        records.read("e", "mini")
    path.write_text("experiment,model\n")
    with pytest.raises(QlabError, match="the columns must be"):
        records.read("e", "mini")


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"a,b\n1,2\n1,2,3\n"], ids=["empty", "UTF-16", "ragged"]
)
def test_a_file_that_is_no_table_is_refused(home, content):
    (home / "e.csv").write_bytes(content)
    with pytest.raises(QlabError, match="e.csv is no table of records"):
        records.read_file(home / "e.csv")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": "x"}, "column 'seed' must be a number; found 'x'"),
        ({"seed": "1.5"}, "column 'seed' must be a whole number"),
        ({"n": "1.5"}, r"column 'n' must be a whole number below 2\^53; found 1.5"),
        ({"n": "9" * 30}, "column 'n' must be a whole number"),
        ({"value": "nan"}, "column 'value' must be a number; found 'nan'"),
        ({"value": "inf"}, "column 'value' must be finite; found inf"),
    ],
)
def test_a_bad_field_in_a_file_is_named(home, change, sentence):
    path = records.write([one(seed=3)], "mini", {})
    table = pd.read_csv(path, dtype=str, keep_default_na=False).assign(**change)
    table.to_csv(path, index=False)
    with pytest.raises(QlabError, match=f"row 2: {sentence}"):
        records.read_file(path)


def test_a_table_as_spreadsheets_save_it_is_read(home):
    path = records.write([one(seed=3)], "mini", {})
    before = records.read_file(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    pd.testing.assert_frame_equal(records.read_file(path), before)


def test_missing_records_say_how_to_make_them():
    with pytest.raises(QlabError, match="python -m qlab run NOTEBOOK -p profile=mini"):
        records.read("e", "mini")


def test_pick():
    table = records.as_table([one(), one(variant="fp16"), one(metric="ar")])
    assert len(records.pick(table, "ap")) == 2
    assert len(records.pick(table, ["ap", "ar"], variant="fp32")) == 2
    assert isinstance(records.pick(table, "none"), pd.DataFrame)


@pytest.mark.parametrize(
    "changes", [{"dataset": "d_noise1"}, {"model": "n"}, {"device": "gpu"}, {"seed": 2}]
)
def test_another_data_set_model_device_or_seed_is_another_measurement(changes):
    records.write([one(seed=1), one(**({"seed": 1} | changes))], "mini", {})
    assert len(records.read("e", "mini")) == 2


def test_the_file_does_not_depend_on_the_order_of_measuring():
    given = [one(variant=v, metric=m) for v in ("fp32", "fp16") for m in ("ap", "ar")]
    first = records.write(given, "mini", {}).read_bytes()
    assert records.write(given[::-1], "mini", {}).read_bytes() == first


def test_a_writer_that_fails_halfway_leaves_the_old_file(monkeypatch):
    path = records.write([one()], "mini", {})
    before = path.read_bytes()

    def half(self, target, **more):
        Path(target).write_text("experiment,mo")
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    with pytest.raises(QlabError, match="The disk ran full"):
        records.write([one(variant="fp16")], "mini", {})
    assert path.read_bytes() == before


def test_an_interval_may_be_a_point_and_a_name_may_not_be_blank():
    records.write([one(ci_low=0.5, ci_high=0.5)], "mini", {})
    with pytest.raises(QlabError, match="'variant' must not be empty"):
        records.write([one(variant=" ")], "mini", {})
