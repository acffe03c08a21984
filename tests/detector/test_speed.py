"""What a clock or a meter says, on made-up graphs, clocks and meters."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny_coco import value

from qlab.core import records
from qlab.detector import detect, speed

ROUNDS = np.array([5.0, 1, 9, 2, 8, 3, 7, 4, 6])
FILES = {"fp32": Path("a"), "int8_static": Path("b")}


def by_process(module, told, count, progress):
    """Rounds of 1..9 s for the parent and twice that for the others; each process is slower."""
    assert module == "qlab.detector.detect" and json.loads(json.dumps(told)) == told
    slower = [ROUNDS * (seed + 1) for seed in range(count)]
    return [{"fp32": one.tolist(), "int8_static": (2 * one).tolist()} for one in slower]


@pytest.mark.parametrize(("processes", "slowdown", "n"), [(1, 1, 9), (2, 2**0.5, 2)])
def test_latencies_are_milliseconds_and_ratios_are_of_the_same_round(
    task, monkeypatch, processes, slowdown, n
):
    """The second of two processes is twice as slow: that moves times, and no ratio."""
    work, _ = task
    monkeypatch.setattr(speed, "PROCESSES", {"smoke": processes})
    monkeypatch.setattr(speed.timing, "in_processes", by_process)
    table = records.check(records.as_table(speed.time_records(work, FILES)), "here")
    expected = {"latency_ms_p50": 5000, "latency_ms_p90": 8200, "latency_builtin_ms_p50": 5000}
    for metric, ms in expected.items():
        assert value(table, "fp32", metric)["value"] == pytest.approx(ms * slowdown)
    row = value(table, "int8_static", "latency_ms_p50")
    assert row["value"] == pytest.approx(10000 * slowdown) and row["ci_low"] < row["value"]
    for name in ("latency_ratio_p50", "latency_builtin_ratio_p50"):
        row = value(table, "int8_static", name)
        assert row[["value", "ci_low", "ci_high"]].tolist() == pytest.approx([2, 2, 2])
        assert not len(records.pick(table, name, variant="fp32"))
    assert table["clock"].all() and (table["better"] == -1).all() and (table["n"] == n).all()
    assert table["device"].str.endswith(", 2 threads").all() and table["condition"].isna().all()


def test_a_process_runs_each_variants_graph_once_a_round(tmp_path, monkeypatch, capsys):
    told = []

    class Fake:
        def __init__(self, file, threads, xnnpack):
            self.name = (file.name, threads, xnnpack)

        def set_image(self, image):
            assert image.shape == (4, 4, 3)

        def invoke(self):
            told.append(self.name)

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.setattr(detect, "Detector", Fake)
    how = {"picture": str(tmp_path / "a.png"), "threads": 2, "xnnpack": False, "repeats": 3}
    detect._main({"files": {"fp32": "/x/a", "fp16": "/x/b"}, **how, "seed": 1})
    made = json.loads(capsys.readouterr().out)
    assert {variant: len(seconds) for variant, seconds in made.items()} == {"fp32": 3, "fp16": 3}
    pairs = [set(told[i : i + 2]) for i in range(2, len(told), 2)]  # behind a warm-up round
    assert pairs == [{("a", 2, False), ("b", 2, False)}] * 3


def test_peak_memory_is_of_a_process_that_runs_the_file_once(task, monkeypatch, capsys):
    seen = []

    class Fake:
        def __init__(self, *told):
            seen.append(told)

        def __call__(self, image):
            seen.append(image.shape)

    def fresh(arguments):
        detect._main(json.loads(arguments[-1]))
        return capsys.readouterr().out.split()[-1]

    monkeypatch.setattr(detect, "Detector", Fake)
    monkeypatch.setattr(speed.timing, "fresh", fresh)
    (made,) = speed.memory_records(task[0], {"fp16": Path("/a")})
    assert made.metric == "peak_memory_bytes" and made.value > 2e7 and made.clock
    assert seen == [(Path("/a"), 2), (64, 64, 3)]


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

    monkeypatch.setattr(speed.detect, "Detector", Fake)
    monkeypatch.setattr(speed.images, "read_image", lambda path: None)
    monkeypatch.setattr(speed.timing, "METERS", {"rapl": lambda: spent[0]})
    (made,) = speed.energy_records(work, {"fp32": Path("a")}, repeats=4)
    assert (made.value, made.unit, made.n, made.metric) == (0.5, "J", 4, "energy_j")
    monkeypatch.setattr(speed.timing, "METERS", {})
    assert speed.energy_records(work, {"fp32": Path("a")}) == []


def test_operators_of_a_kind_are_added_up_for_both_kernel_sets(task, monkeypatch):
    work, _ = task

    def alone(file, threads, xnnpack):
        kinds = ["CONV_2D", "ADD", "CONV_2D"]
        return pd.DataFrame({"kind": kinds, "ms": [1, 2, 4 + xnnpack]})

    monkeypatch.setattr(speed, "time_operators", alone)
    made = speed.operator_records(work, {"fp32": Path("a")}, ("fp32", "absent"))
    assert {(r.metric, r.part): (r.value, r.n) for r in made} == {
        ("operator_ms", "CONV_2D"): (6, 2),
        ("operator_ms", "ADD"): (2, 1),
        ("operator_builtin_ms", "CONV_2D"): (5, 2),
        ("operator_builtin_ms", "ADD"): (2, 1),
    }
