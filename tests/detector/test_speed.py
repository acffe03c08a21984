"""What a clock or a meter says, on made-up graphs, clocks and meters."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_coco import value

from qlab.core import records
from qlab.detector import speed


def test_latencies_are_milliseconds_and_ratios_are_of_the_same_round(task, monkeypatch):
    """Round times 1..9 s of the parent and twice that of the other, whatever the round."""
    rounds = np.array([5.0, 1, 9, 2, 8, 3, 7, 4, 6])
    work, _ = task

    def timed(calls, repeats, progress):
        return {n: rounds * (2 if n[0] == "int8_static" else 1) for n in calls}

    steps = {"decode": list, "preprocess": list, "invoke": list}
    monkeypatch.setattr(speed, "Detector", lambda *_: None)
    monkeypatch.setattr(speed, "stages", lambda *_: steps)
    monkeypatch.setattr(speed.timing, "interleaved", timed)
    files = {"fp32": Path("a"), "int8_static": Path("b")}
    made = speed.time_records(work, files)
    table = records.check(records.as_table(made), "here")
    assert value(table, "fp32", "latency_ms_p50")["value"] == 5000
    assert value(table, "fp32", "latency_ms_p90")["value"] == pytest.approx(8200)
    assert value(table, "image", "latency_decode_ms_p50")["value"] == 5000
    assert value(table, "int8_static", "latency_preprocess_ms_p50")["value"] == 10000
    for name in ("latency_ratio_p50", "latency_builtin_ratio_p50"):
        row = value(table, "int8_static", name)
        assert (row["value"], row["ci_low"], row["ci_high"], row["n"]) == (2, 2, 2, 9)
        assert not len(records.pick(table, name, variant="fp32"))
    assert table["clock"].all() and (table["better"] == -1).all()
    assert table["device"].str.endswith(", 2 threads").all()


def test_energy_is_joules_of_one_image_and_absent_without_a_meter(task, monkeypatch):
    work, _ = task
    spent = [0.0]

    class Fake:
        def __init__(self, *_):
            pass

        def __call__(self, image):
            spent[0] += 100  # the warm-up is not counted

        def invoke(self):
            spent[0] += 0.5

    monkeypatch.setattr(speed, "Detector", Fake)
    monkeypatch.setattr(speed, "read_image", lambda path: None)
    monkeypatch.setattr(speed.timing, "METERS", {"rapl": lambda: spent[0]})
    (made,) = speed.energy_records(work, {"fp32": Path("a")}, repeats=4)
    assert (made.value, made.unit, made.n, made.metric) == (0.5, "J", 4, "energy_j")
    monkeypatch.setattr(speed.timing, "METERS", {})
    assert speed.energy_records(work, {"fp32": Path("a")}) == []


def test_operators_of_a_kind_are_added_up_for_both_kernel_sets(task, monkeypatch):
    work, _ = task

    def timed(file, threads, xnnpack):
        kinds = ["CONV_2D", "ADD", "CONV_2D"]
        return pd.DataFrame({"kind": kinds, "ms": [1, 2, 4 + xnnpack]})

    monkeypatch.setattr(speed, "time_operators", timed)
    made = speed.operator_records(work, {"fp32": Path("a")}, ("fp32", "absent"))
    assert {(r.metric, r.part): (r.value, r.n) for r in made} == {
        ("operator_ms", "CONV_2D"): (6, 2),
        ("operator_ms", "ADD"): (2, 1),
        ("operator_builtin_ms", "CONV_2D"): (5, 2),
        ("operator_builtin_ms", "ADD"): (2, 1),
    }
