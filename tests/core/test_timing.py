"""Clocks, memory, meters; and a run out of time, which stops between two pieces of work."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from qlab.core import progress, timing
from qlab.core.errors import QlabError


def test_callables_take_turns_after_a_warm_up():
    said = []
    calls = {"a": lambda: said.append("a"), "b": lambda: said.append("b")}
    times = timing.interleaved(calls, repeats=40, warmup=1)
    assert said[:2] == ["a", "b"]
    rounds = [said[i : i + 2] for i in range(2, len(said), 2)]
    assert [sorted(r) for r in rounds] == [["a", "b"]] * 40
    assert ["a", "b"] in rounds and ["b", "a"] in rounds  # nobody always runs behind the same one
    assert {k: len(v) for k, v in times.items()} == {"a": 40, "b": 40}
    first, said = said, []
    timing.interleaved(calls, repeats=40, warmup=1, seed=1)
    assert said != first and sorted(said) == sorted(first)


def test_fresh_processes_measure_one_after_the_other(tmp_path, monkeypatch):
    code = "import json, os, sys, time\nstart = time.time(); time.sleep(0.05); print('chatter')\n"
    code += "print(json.dumps([json.loads(sys.argv[1]), os.getpid(), start, time.time()]))"
    (tmp_path / "measures_nothing.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = timing.in_processes("measures_nothing", {"a": 1}, 3)
    told, pids, starts, ends = zip(*found, strict=True)
    assert told == ({"a": 1, "seed": 0}, {"a": 1, "seed": 1}, {"a": 1, "seed": 2})
    assert len({os.getpid(), *pids}) == 4
    assert all(end <= start for end, start in zip(ends[:-1], starts[1:], strict=True))


@pytest.mark.parametrize(
    ("code", "why"),
    [("raise SystemExit('no clock')", "no clock"), ("import os; os._exit(9)", "exit status 9")],
)
def test_a_process_that_fails_is_told_in_one_sentence(code, why):
    with pytest.raises(QlabError, match=f"^Measuring with 'python -c .*' failed: {why}$"):
        timing.fresh(["-c", code])


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="VmHWM is Linux's")
def test_peak_memory_is_the_childs_own_and_resident():
    """A child that fills 200 MB reports it; one that reserves 2 GB does not, whatever we hold."""
    ours = np.ones(300_000_000, np.uint8)
    lazy = "import mmap; held = mmap.mmap(-1, 2_000_000_000);"
    busy = "import numpy; x = numpy.ones(200_000_000, numpy.uint8);"
    told = "from qlab.core import timing; timing.print_peak_memory()"
    small, large = (int(timing.fresh(["-c", code + told])) for code in (lazy, busy))
    assert large - small == pytest.approx(200e6, rel=0.15)
    assert small < len(ours) and small % 1024 == 0


def test_energy_is_what_calls_take_beyond_an_idle_processor(tmp_path, monkeypatch):
    """A processor of 2 W, and 3 J more a call of .1 s, by a clock that only work moves."""
    now, call = [0.0], [3.0]
    meter, rest = tmp_path / "energy_uj", lambda s: pass_time(s, 2 * s)

    def pass_time(seconds, joules):
        now[0] += seconds
        meter.write_text(str(int(meter.read_text()) + round(1e6 * joules)))

    monkeypatch.setattr(timing, "RAPL", meter)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(timing.time, "sleep", rest)
    work = lambda: pass_time(0.1, 0.2 + call[0])  # noqa: E731
    assert timing.energy(work) is None  # no meter
    meter.write_text("1000000")
    joules, calls = timing.energy(work)
    assert joules == pytest.approx(3) and 299 <= calls <= 301
    call[0] = -1000.0  # the counter wraps around
    meter.write_text("9" * 15)
    assert timing.energy(work, 0.3) is None


def test_work_stops_where_the_time_is_up(monkeypatch, capsys):
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    monkeypatch.setenv("QLAB_STOP_AT", str(time.time() + 60))
    work = iter(progress.bar("work")(range(3)))
    assert next(work) == 0
    monkeypatch.setenv("QLAB_STOP_AT", str(time.time() - 1))
    with pytest.raises(QlabError, match="The time is up .* run again with another"):
        next(work)
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("QLAB_QUIET", "1")  # under `qlab run`, which must not take it for finished
    with pytest.raises(QlabError, match="The time is up"):
        progress.check_time()
    monkeypatch.delenv("QLAB_QUIET")
    with pytest.raises(SystemExit) as ended:
        progress.check_time()
    assert ended.value.code == 0  # papermill takes it for a normal end, so that Kaggle keeps it
    assert "The time is up" in (told := capsys.readouterr().out) and "this version's output" in told
