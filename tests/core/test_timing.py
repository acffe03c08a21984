"""Clocks, memory and meters."""

from pathlib import Path

import numpy as np
import pytest

from qlab.core import timing


def test_callables_take_turns_after_a_warm_up():
    said = []
    calls = {"a": lambda: said.append("a"), "b": lambda: said.append("b")}
    times = timing.interleaved(calls, repeats=40, warmup=1)
    assert said[:2] == ["a", "b"]
    rounds = [said[i : i + 2] for i in range(2, len(said), 2)]
    assert [sorted(r) for r in rounds] == [["a", "b"]] * 40
    assert ["a", "b"] in rounds and ["b", "a"] in rounds  # nobody always runs behind the same one
    assert {k: len(v) for k, v in times.items()} == {"a": 40, "b": 40}
    assert all((v >= 0).all() for v in times.values())


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="VmHWM is Linux's")
def test_peak_memory_is_the_childs_own_and_resident():
    """A child that fills 200 MB reports it; one that reserves 2 GB does not, whatever we hold."""
    ours = np.ones(300_000_000, np.uint8)
    lazy = "import mmap; held = mmap.mmap(-1, 2_000_000_000);"
    busy = "import numpy; x = numpy.ones(200_000_000, numpy.uint8);"
    told = "from qlab.core import timing; timing.print_peak_memory()"
    small, large = (timing.peak_memory(["-c", code + told]) for code in (lazy, busy))
    assert large - small == pytest.approx(200e6, rel=0.15)
    assert small < len(ours) and small % 1024 == 0


def test_energy_comes_from_a_meter_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "METERS", {"rapl": timing._read_rapl})
    monkeypatch.setattr(timing, "RAPL", tmp_path / "none")
    with timing.energy() as used:
        pass
    assert used.joules == {} and timing.readable_meters() == []
    meter = tmp_path / "energy_uj"
    meter.write_text("1000000")
    monkeypatch.setattr(timing, "RAPL", meter)
    with timing.energy() as used:
        meter.write_text("3500000")
    assert used.joules == {"rapl": 2.5}
    with timing.energy() as used:
        meter.write_text("7")  # the counter wrapped around
    assert used.joules == {}
