"""The benchmark's arithmetic, its words and its protocol; nothing is timed here."""

import sys
from pathlib import Path

import numpy as np
import pytest

from qlab.core import records
from qlab.core.errors import QlabError

ROOT = Path(__file__).resolve().parents[1]
SERVER = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "broken":
        sys.exit("the model is broken")
    print(0.25, flush=True)
"""


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import centernet_r50v2_512

    return centernet_r50v2_512


@pytest.fixture
def peer(bench, monkeypatch, tmp_path):
    """onnx_peer with another process on the other side, and a build folder of its own."""
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    monkeypatch.setattr(bench.onnx_peer, "SCRIPT", script)
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    (tmp_path / "build" / "peers").mkdir(parents=True)
    return bench.onnx_peer


def table(bench, seconds: dict[str, list[float]], threads=2, kernels="xnnpack"):
    """Made-up seconds, as checked records."""
    times = {name: np.array(values) for name, values in seconds.items()}
    found = bench.time_records(times, threads, kernels)
    found += [bench._exact(name, "size_bytes", 1e6, "byte") for name in seconds]
    return records.check(records.as_table(found), "made up")


def test_ratios_come_from_the_same_round(bench):
    """A moment in which everything is slow changes no ratio."""
    rows = table(bench, {"fp32": [1.0, 8.0, 2.0] * 2, "fp16": [0.5, 4.0, 1.0] * 2})
    [ratio] = records.pick(rows, "latency_ratio_p50").itertuples()
    assert (ratio.value, ratio.ci_low, ratio.ci_high, ratio.n) == (0.5, 0.5, 0.5, 6)


def test_the_table_has_a_row_per_variant_and_fp32_first(bench):
    seconds = {"onnx_fp32": [2.0], "int8_static": [0.1], "fp32": [1.0]}
    shown = bench.ratio_table(table(bench, seconds), "cpu_2_threads")
    assert list(shown.index) == ["fp32", "int8_static", "onnx_fp32"]
    assert list(shown.columns) == ["MB", "xnnpack ms", "xnnpack /fp32", "xnnpack /onnx"]
    assert shown.loc["int8_static", "xnnpack /fp32"] == pytest.approx(0.1)
    assert shown.loc["fp32", "xnnpack ms"] == pytest.approx(1000)
    assert shown.loc["fp32", "xnnpack /onnx"] == pytest.approx(0.5)
    assert np.isnan(shown.loc["fp32", "xnnpack /fp32"])


@pytest.mark.parametrize(
    ("static", "words"),
    [
        ([0.1] * 6, ["met, int8_static is 10.00 x (10.00 to 10.00)."]),
        ([0.5] * 6, ["NOT met, int8_static is 2.00 x (2.00 to 2.00)."]),
        ([0.1] * 5 + [0.5], ["met, int8_static is 10.00 x (2.00 to 10.00), the interval allows"]),
    ],
)
def test_the_verdict_says_met_or_not_and_how_sure(bench, static, words):
    rows = table(bench, {"fp32": [1.0] * 6, "int8_static": static})
    [said] = bench.verdicts(rows)
    assert said.startswith("static or selective int8 at least 5 x faster than fp32; cpu_2_threads")
    assert words[0] in said.partition("xnnpack: ")[2]


def test_each_set_of_kernels_has_its_own_verdict(bench):
    rows = table(bench, {"fp32": [1.0], "int8_dynamic_subpixel": [2.0]}, kernels="builtin")
    [said] = bench.verdicts(rows)
    assert "cured dynamic" in said and "builtin: NOT met" in said
    assert said.endswith("is 0.50 x (1 rounds, too few for an interval).")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--repeats", "0"], "Expected a whole number of 1 or more; got '0'."),
        (["--threads", "two"], "Expected a whole number of 1 or more; got 'two'."),
        (["--threads", "1", "1"], "--threads names the same count twice"),
        (["--threads", "100000"], "--threads 100000 would time waiting."),
        (["--out", "table.txt"], "--out must be a .csv file; got 'table.txt'."),
    ],
)
def test_a_wrong_argument_gets_a_sentence(bench, capsys, arguments, sentence):
    with pytest.raises(SystemExit):
        bench.parse(arguments)
    assert sentence in capsys.readouterr().err


def test_a_quick_run_leaves_the_committed_result_alone(bench):
    assert bench.parse([]).out == bench.RESULT
    assert bench.parse(["--quick"]).out != bench.RESULT


def test_show_without_results_says_how_to_get_them(bench, capsys, tmp_path):
    assert bench.main(["--show", "--out", str(tmp_path / "none.csv")]) == 1
    assert "run without --show to measure them" in capsys.readouterr().err


def test_the_committed_result_reads(bench, capsys):
    assert bench.main(["--show"]) == 0
    said = capsys.readouterr().out
    assert "int8_dynamic_subpixel" in said and "met, " in said


def test_written_records_read_back(bench, tmp_path):
    rows = table(bench, {"fp32": [1.0], "fp16": [0.5]})
    made = [records.Record(**row) for row in rows.to_dict("records")]
    bench.write(made, {"why": "test"}, tmp_path / "out.csv")
    assert len(bench.show(tmp_path / "out.csv")) == len(rows)
    assert (tmp_path / "out.provenance.json").is_file()


def test_the_peers_requirements_are_exact(bench):
    pins = bench.onnx_peer.pins()
    assert {"onnx", "onnxruntime", "tf2onnx", "tensorflow", "numpy"} <= set(pins)
    assert all(version[0].isdigit() and "*" not in version for version in pins.values())


def test_the_peers_clock_is_theirs(peer):
    image = np.zeros((2, 2, 3), np.uint8)
    with peer.Server(Path(sys.executable), {"onnx_fp32": Path("x")}, image, 1) as server:
        server.run("onnx_fp32")
        server.run("onnx_fp32")
    assert server.seconds == {"onnx_fp32": [0.25, 0.25]}
    assert server.process.returncode == 0


def test_a_peer_that_dies_says_why(peer):
    models = {"broken": Path("x")}
    image = np.zeros((2, 2, 3), np.uint8)
    with (
        peer.Server(Path(sys.executable), models, image, 1) as server,
        pytest.raises(QlabError, match="ended early: the model is broken"),
    ):
        server.run("broken")
