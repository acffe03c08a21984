"""What a clock says of each variant, on a made-up clock."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_coco import value

from qlab.core import records
from qlab.detector import speed

ROUNDS = np.array([5.0, 1, 9, 2, 8, 3, 7, 4, 6])
FILES = {"fp32": Path("a"), "int8_static": Path("b")}


def timed(files, pictures, threads, xnnpack, repeats, seed=0, progress=iter):
    """Rounds of 1..9 s for the parent and twice that for the others, `seed` + 1 times as slow."""
    stages = ("invoke", "preprocess") if xnnpack else ("invoke",)
    seconds = {(v, s): ROUNDS * (2 if v == "int8_static" else 1) for v in files for s in stages}
    seconds |= {("image", "decode"): ROUNDS} if xnnpack else {}
    return {of: (seed + 1) * values for of, values in seconds.items()}


def by_process(module, told, count, progress):
    assert module == "qlab.detector.detect"
    answers = [timed(**json.loads(json.dumps(told)), seed=seed) for seed in range(count)]
    return [[[*of, values.tolist()] for of, values in answer.items()] for answer in answers]


@pytest.mark.parametrize(("processes", "slowdown", "n"), [(1, 1, 9), (2, 2**0.5, 2)])
def test_latencies_are_milliseconds_and_ratios_are_of_the_same_round(
    task, monkeypatch, processes, slowdown, n
):
    """The second of two processes is twice as slow: that moves times, and no ratio."""
    monkeypatch.setattr(speed, "PROCESSES", {"smoke": processes})
    monkeypatch.setattr(speed.detect, "rounds", timed)
    monkeypatch.setattr(speed.timing, "in_processes", by_process)
    table = records.check(records.as_table(speed.time_records(task[0], FILES)), "here")
    expected = {"ms_p50": 5000, "ms_p90": 8200, "builtin_ms_p50": 5000, "decode_ms_p50": 5000}
    for name, ms in expected.items():
        variant = "image" if "decode" in name else "fp32"
        found = value(table, variant, f"latency_{name}")["value"]
        assert found == pytest.approx(ms * slowdown), name
    row = value(table, "int8_static", "latency_preprocess_ms_p50")
    assert row["value"] == pytest.approx(10000 * slowdown) and row["ci_low"] < row["value"]
    for name in ("latency_ratio_p50", "latency_builtin_ratio_p50"):
        row = value(table, "int8_static", name)
        assert row[["value", "ci_low", "ci_high"]].tolist() == pytest.approx([2, 2, 2])
        assert not len(records.pick(table, name, variant="fp32"))
    assert table["clock"].all() and (table["better"] == -1).all() and (table["n"] == n).all()
    assert table["device"].str.endswith(", 2 threads").all() and table["condition"].isna().all()
