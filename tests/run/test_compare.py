"""Two runs compared: what is equal, what differs, what is not judged."""

import dataclasses

import pytest

from qlab.core import records
from qlab.core.records import Record
from qlab.run import cli
from qlab.run.compare import compare

TIME = "latency_ms_p90"
METRICS = {  # unit, clock, better
    "accuracy": ("1", False, 1),
    "size_bytes": ("byte", False, -1),
    "size_gzip_bytes": ("byte", False, -1),
    TIME: ("ms", True, -1),
}


def one(metric="accuracy", value=0.9, low=None, high=None, **more) -> Record:
    unit, clock, better = METRICS[metric]
    about = {"experiment": "e", "model": "m", "dataset": "d", "variant": "v", "n": 100}
    about |= {"unit": unit, "clock": clock, "better": better} | more
    return Record(**about, metric=metric, value=value, ci_low=low, ci_high=high)


def kind(a: Record, b: Record) -> str:
    [found] = compare(records.as_table([a]), records.as_table([b]))["kind"]
    return found


SAID = [
    # Without a clock: floats to the tolerance, counts exactly, compressed bytes nearly.
    (one(value=0.9), one(value=0.9 + 1e-7), "equal"),
    (one(value=0.9), one(value=0.9 - 1e-5), "different"),
    (one("size_bytes", 10_000_000), one("size_bytes", 10_000_001), "different"),
    (one("size_gzip_bytes", 290_006), one("size_gzip_bytes", 290_003), "equal"),
    (one(n=100), one(n=101), "different"),
    (one(low=0.8, high=1.0), one(), "different"),
    (one(device="A"), one(device="B"), "equal"),
    (one(TIME, 1), one(TIME, 9), "clock"),
    (one(TIME, 1), one(TIME, 1, clock=False), "different"),
]


@pytest.mark.parametrize(("a", "b", "expected"), SAID)
def test_what_is_said_of_one_record(a, b, expected):
    assert kind(a, b) == expected


def test_a_claims_verdict_is_compared_and_makes_no_other_record():
    claim = Record("claims", "m", "d", "fp16_halves_the_file", "holds", 0.5, "1")
    other = dataclasses.replace(claim, metric="undecided")
    untested = dataclasses.replace(claim, metric="not_tested", model="none", dataset="none")
    assert [kind(claim, c) for c in (claim, other, untested)] == ["equal", *["different"] * 2]
    timed = dataclasses.replace(claim, clock=True)
    assert kind(timed, dataclasses.replace(timed, metric="undecided")) == "clock"


def test_the_command_says_it_of_clones_folders_and_files(tmp_path, capsys):
    sizes = [one("size_bytes", 1000 + k, k=k) for k in range(4)]
    a = tmp_path / "clone" / "data" / "results" / "smoke" / "e.csv"
    records.write_to(a, records.as_table([*sizes, one(TIME, 1)]), {})
    others = (one("size_bytes", 7777, k=k) for k in (1, 2, 3))
    records.write_to(b := tmp_path / "b.csv", records.as_table([sizes[0], *others]), {})
    a, clone, b = str(a), str(tmp_path / "clone"), str(b)
    assert cli.main(["compare", a, clone, "--profile", "smoke"]) == 0
    assert capsys.readouterr().out.startswith("PASSED: 4 of 4 deterministic records are equal.")
    assert cli.main(["compare", clone, b, "--profile", "smoke", "--rows", "2"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("FAILED: 1 of 4 deterministic records are equal.")
    assert "1001" in said and "7777" in said and "... and 1 more (--rows)" in said
    assert "only in A" in said and cli.main(["compare", b, a]) == 1
    assert "only in B" in capsys.readouterr().out
    assert cli.main(["compare", a, b, "--tolerance", "1"]) == 2
