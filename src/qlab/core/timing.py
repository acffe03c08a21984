"""How long, how much memory, how much energy: measured, or absent.

Machines drift and are shared, so what is compared runs in turn, round after round.
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

RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")  # of the whole processor package
STATUS = Path("/proc/self/status")


def interleaved(
    calls: Mapping[Any, Callable[[], object]], repeats: int, warmup=2, progress=iter, seed=0
) -> dict[Any, np.ndarray]:
    """Wall times in seconds of each callable, [repeats], taken in turn, behind `warmup` calls each.
    The order is shuffled every round, from `seed`, so that none always runs behind the same
    other."""
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

    `python -m MODULE JSON` is told `told` and its `seed`, 0 and up, and prints JSON as its last
    line. A process draws its places in memory anew, which no repetition within it does (Georges,
    Buytaert and Eeckhout, "Statistically rigorous Java performance evaluation", OOPSLA 2007).
    """
    return [
        json.loads(fresh(["-m", module, json.dumps({**told, "seed": seed})]))
        for seed in progress(range(count))
    ]


def print_peak_memory() -> None:
    """Print this process's peak resident memory in bytes; of a `fresh` one, as its last line."""
    if STATUS.is_file():
        # Not getrusage: on Linux its peak includes the parent's memory at the fork.
        (kibibytes,) = re.findall(r"^VmHWM:\s*(\d+) kB$", STATUS.read_text(), re.M)
        print(int(kibibytes) * 1024)
    else:  # macOS, which counts in bytes
        import resource

        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def energy(call: Callable[[], object], seconds: float = 30) -> tuple[float, int] | None:
    """Joules of a call by RAPL beyond what the idle processor takes in its time, and the number of
    calls, `seconds` in all, that this is the mean of; None where the meter cannot be read."""
    try:
        idle, waited, _ = _spent(lambda: time.sleep(seconds / 300), seconds / 3)
        used, lasted, calls = _spent(call, seconds)
    except OSError:  # no file, or one for root alone
        return None
    wrapped = min(idle, used) < 0  # the counter began anew: no measurement
    return None if wrapped else ((used - idle * lasted / waited) / calls, calls)


def _spent(call: Callable[[], object], seconds: float) -> tuple[float, float, int]:
    """Joules and seconds of as many calls as fill `seconds`, and their number."""
    before, start, calls = int(RAPL.read_text()), time.perf_counter(), 0
    while (lasted := time.perf_counter() - start) < seconds:
        call()
        calls += 1
    return (int(RAPL.read_text()) - before) / 1e6, lasted, calls
