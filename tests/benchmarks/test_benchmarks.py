"""The benchmarks' arithmetic and protocols; nothing is timed here."""

import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from qlab.core import records
from qlab.core.errors import QlabError

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import bench  # noqa: E402
import centernet_mobilenetv3_512 as trained  # noqa: E402
import centernet_r50v2_512 as centernet  # noqa: E402
import lambada_lm_eval as lambada  # noqa: E402
import language_kernels as kernels  # noqa: E402
import streaming_memory  # noqa: E402
import sweep_scaling  # noqa: E402

ALL = {m.NAME: m for m in (centernet, trained, kernels, lambada, streaming_memory, sweep_scaling)}
TOLD = {"passages": 9, "acc": 0.25, "perplexity": 80.0, "cpu_seconds": 3.0, "versions": {"t": "2"}}
CASE = lambada.Case("wide", "random_words", Path("m"), Path("p.jsonl"), 9, 1000)


def checked(found):
    return records.check(records.as_table(found), "made up")


def timed(seconds: dict[str, list[float]]):
    """Made-up seconds of CenterNet's variants, as checked records."""
    found = centernet.time_records({k: np.array(v) for k, v in seconds.items()}, 2, "xnnpack")
    found += [centernet._exact(name, "size_bytes", 1e6) for name in seconds]
    return checked(found)


def scored(ours: list[float], theirs: list[float], case=CASE):
    """Records of a case, of made-up runs of qlab and lm-evaluation-harness."""
    runs = {
        side: [lambada.Run(s, TOLD | {"peak_memory_bytes": 4}) for s in seconds]
        for side, seconds in {"qlab": ours, "lm_eval": theirs}.items()
    }
    return lambada.case_records(case, runs, {"auto": runs["lm_eval"][0]}, "16", 2)


def kernel_rows():
    """Made-up rounds of processes, of which the second is four times as slow."""
    about = ("load_s", "first_s", "memory_imports", "memory_loading", "memory_inference")
    one, subject = dict.fromkeys(about, 1.0), kernels.Subject("m", "d", "hash")
    speeds = {"fp32": {"read": 100, "write": 10}, "llama_q8_0": {"read": 200, "write": 80}}
    rounds = [
        {v: one | {k: s / slow for k, s in of.items()} for v, of in speeds.items()}
        for slow in (1, 4)
    ]
    return records.as_table(kernels.cost_records(subject, rounds, 2))


@pytest.mark.parametrize(
    "rows, metric, expected, n",
    [
        (timed({"fp32": [1, 8, 2] * 2, "fp16": [0.5, 4, 1] * 2}), "latency_ratio_p50", 0.5, 6),
        (checked(scored([1, 8, 2] * 2, [4, 32, 8] * 2)), "times_faster", 4.0, 6),
        (kernel_rows(), "times_faster_decode", 8.0, 2),
    ],
)
def test_ratios_come_from_the_same_round(rows, metric, expected, n):
    """A moment in which everything is slow changes no ratio."""
    (row,) = records.pick(rows, metric).itertuples()
    assert (row.value, row.ci_low, row.ci_high) == pytest.approx((expected, expected, expected))
    assert row.n == n


def test_a_ratio_of_processes_is_the_geometric_mean_of_their_medians():
    """The second process is four times as slow, for all; in it int8 takes twice its first ratio."""
    first = {"fp32": [1, 2, 9], "int8_dynamic": [2, 4, 18], "onnx_int8_dynamic": [1, 1, 1]}
    second = {"fp32": [4, 8, 36], "int8_dynamic": [16, 32, 144], "onnx_int8_dynamic": [4, 4, 4]}
    rows = checked(trained.time_records([first, second]))
    values = rows.set_index(["variant", "metric"])["value"]
    assert values["fp32", "latency_ms_p50"] == pytest.approx(4000)
    assert values["int8_dynamic", "latency_ratio_p50"] == pytest.approx(8**0.5)
    assert values["int8_dynamic", "latency_ratio_to_onnx_p50"] == pytest.approx((4 * 8) ** 0.5)
    assert (rows["n"] == 2).all() and ("fp32", "latency_ratio_p50") not in values.index


@pytest.mark.parametrize("name", ALL)
def test_the_committed_result_reads_and_its_metrics_are_known(name, capsys):
    assert ALL[name].main(["--show"]) == 0 and capsys.readouterr().out
    for row in bench.show(bench.RESULTS / f"{name}.csv").itertuples():
        assert (row.unit, row.better, row.clock) == bench.METRICS[row.metric], row


@pytest.mark.parametrize("change", [{"passages": 8}, {"acc": 0.2500005}, {"perplexity": 80.001}])
def test_unequal_results_end_the_comparison(change):
    lambada.check_equal(CASE, TOLD, TOLD | {"perplexity": 80.00001})
    with pytest.raises(QlabError, match=f"wide: {next(iter(change))}"):
        lambada.check_equal(CASE, TOLD, TOLD | change)


def test_a_case_is_written_when_it_is_done_and_others_stay(tmp_path, monkeypatch):
    target, file = tmp_path / "t.csv", tmp_path / "p.jsonl"
    file.touch()
    monkeypatch.setattr(lambada, "environment", Path)
    cases = [CASE._replace(name=name, file=file) for name in ("stories", "wide", "smollm2")]
    found = [scored([2.0] * 6, [2.0] * 6, case) for case in cases[:2]]
    monkeypatch.setattr(lambada, "measure", Mock(side_effect=[*found, QlabError("killed")]))
    monkeypatch.setattr(lambada, "CASES", {c.name: lambda _, case=c: case for c in cases})
    options = ["--out", str(target), "--case"]
    assert not lambada.main([*options, "stories"])
    first = lambada.before(target)[1]["stories"]
    assert lambada.main([*options, "wide", "smollm2"]) == 1
    table, told = lambada.before(target)
    assert set(table["model"]) == set(told) == {"stories", "wide"}
    assert told["stories"] == first and list(told["wide"]["inputs"]) == ["wide"]
