"""How long, how much memory, how much energy: measured, or absent.

Machines drift and are shared, so whatever is compared runs in turn, round after round.
"""

import json
import random
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qlab.core.errors import QlabError

RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")  # for the whole processor package
STATUS = Path("/proc/self/status")


def interleaved(
    calls: Mapping[Any, Callable[[], object]], repeats: int, warmup=2, progress=iter, seed=0
) -> dict[Any, np.ndarray]:
    """Wall times in seconds of each callable, [repeats], taken in turn after `warmup` calls of
    each. The order is shuffled every round, from `seed`, so that none always runs after the same
    other one."""
    for call in calls.values():
        for _ in range(warmup):
            call()
    times: dict[Any, list[float]] = {name: [] for name in calls}
    order = random.Random(seed)
    for _ in progress(range(repeats)):
        for name in order.sample(list(calls), len(calls)):
            start = time.perf_counter()
            calls[name]()
            times[name].append(time.perf_counter() - start)
    return {name: np.array(values) for name, values in times.items()}


def fresh(arguments: list[str]) -> str:
    """The last line that a fresh process `python ARGUMENTS` prints; QlabError if it fails."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"
        command = textwrap.shorten(" ".join(arguments), 80, placeholder=" ...")
        raise QlabError(f"Measuring with 'python {command}' failed: {last}")
    return done.stdout.strip().rpartition("\n")[2]


def in_processes(module: str, told: Mapping[str, Any], count: int, progress=iter) -> list[Any]:
    """What each of `count` fresh processes measures, one after the other.

    `python -m MODULE JSON` is given `told` and its `seed`, from 0 up, and prints JSON as its last
    line. Each process gets a new memory layout, which no repetition within a process does (Georges,
    Buytaert and Eeckhout, "Statistically rigorous Java performance evaluation", OOPSLA 2007).
    """
    return [
        json.loads(fresh(["-m", module, json.dumps({**told, "seed": seed})]))
        for seed in progress(range(count))
    ]


def print_peak_memory() -> None:
    """Print this process's peak resident memory in bytes; in a `fresh` one, as its last line."""
    if STATUS.is_file():
        # Not getrusage: on Linux its peak includes the parent's memory at the fork.
        (kibibytes,) = re.findall(r"^VmHWM:\s*(\d+) kB$", STATUS.read_text(), re.M)
        print(int(kibibytes) * 1024)
    else:  # macOS, which counts in bytes
        import resource

        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def energy(call: Callable[[], object], seconds: float = 30) -> tuple[float, int] | None:
    """Joules per call by RAPL, beyond what the idle processor takes in that time, and the number of
    calls that this is averaged over, which fill `seconds`; None if the meter cannot be read."""
    try:
        idle, waited, _ = _spent(lambda: time.sleep(seconds / 300), seconds / 3)
        used, lasted, calls = _spent(call, seconds)
    except OSError:  # no file, or only root may read it
        return None
    wrapped = min(idle, used) < 0  # the counter wrapped around: no measurement
    return None if wrapped else ((used - idle * lasted / waited) / calls, calls)


def _spent(call: Callable[[], object], seconds: float) -> tuple[float, float, int]:
    """Joules and seconds of as many calls as fill `seconds`, and their number."""
    before, start, calls = int(RAPL.read_text()), time.perf_counter(), 0
    while (lasted := time.perf_counter() - start) < seconds:
        call()
        calls += 1
    return (int(RAPL.read_text()) - before) / 1e6, lasted, calls
