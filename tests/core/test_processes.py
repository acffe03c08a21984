"""Work in several processes comes back as from one, errors too, and nobody is left behind."""

import os
import signal
import subprocess
import sys
import time

import cloudpickle
import numpy as np
import psutil
import pytest
import torch

from qlab.core import paths, processes
from qlab.core.errors import QlabError

# Another process cannot import a test's module, so its functions travel whole.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_answers_come_in_the_order_of_arguments_and_from_other_processes():
    assert processes.starmap(pow, [(2, 3), (3, 2), (5, 1)], 2) == [8, 9, 5]
    assert os.getpid() not in processes.starmap(os.getpid, [(), ()], 2)
    for arguments, count in (([(), ()], 1), ([()], 2), ([], 2)):  # which needs no other
        found = processes.starmap(os.getpid, arguments, count)
        assert found == [os.getpid()] * len(arguments)


def test_a_killed_process_is_a_sentence_and_another_takes_its_place():
    assert workers() == workers()  # which stay for the next call
    with pytest.raises(QlabError, match="One of 2 processes was killed, usually out of memory"):
        processes.starmap(os._exit, [(9,), (9,)], 2)
    assert processes.starmap(abs, [(-1,), (-2,)], 2) == [1, 2]


def workers() -> set[int]:
    """Ids of both kept processes."""
    found: set[int] = set()
    while len(found) < 2:
        found |= set(processes.starmap(_slowly_who, [()] * 4, 2))
    return found


def _slowly_who() -> int:
    time.sleep(0.3)
    return os.getpid()


def inherited() -> tuple:
    limits = {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")}
    return paths.build(), os.getcwd(), limits


def test_the_processes_have_what_the_caller_has_now(monkeypatch, tmp_path):
    """Kept ones would not see a changed home, and joblib alone would give them one thread each."""
    for name in [k for k in os.environ if k.endswith("_NUM_THREADS")]:
        monkeypatch.delenv(name)
    for name, limits in (("one", {}), ("two", {"OMP_NUM_THREADS": "1"})):
        home = tmp_path / name
        home.mkdir()
        monkeypatch.chdir(home)
        for variable, value in {"QLAB_HOME": str(home), **limits}.items():
            monkeypatch.setenv(variable, value)
        own = (home / "build", str(home), limits)
        assert processes.starmap(inherited, [(), ()], 2) == [own] * 2
    assert processes.starmap(torch.get_num_threads, [(), ()], 2) == [1, 1]


def test_large_arrays_arrive_as_writable_as_they_left_and_numbers_are_the_same():
    given = [(np.random.default_rng(seed).normal(size=(400, 400)),) for seed in range(2)]
    one, two = (processes.starmap(spectrum, given, count) for count in (1, 2))
    assert [found.tobytes() for found in one] == [found.tobytes() for found in two]


def spectrum(array):
    array *= 1
    return np.linalg.svd(array)[1]


def interrupted(items):
    yield next(iter(items))
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("first", "progress", "error"), [(0, interrupted, KeyboardInterrupt), ("x", iter, TypeError)]
)
def test_an_error_or_an_interrupt_ends_what_is_not_wanted(first, progress, error):
    there = [psutil.Process(number) for number in workers()]
    with pytest.raises(error):
        processes.starmap(time.sleep, [(first,), (60,), (60,)], 2, progress)
    assert psutil.wait_procs(there, timeout=20)[1] == []


def test_processes_end_with_the_one_that_started_them():
    code = (
        "import time; from qlab.core.processes import starmap; starmap(time.sleep, [(60,)] * 2, 2)"
    )
    first = subprocess.Popen([sys.executable, "-c", code])
    while len(started := psutil.Process(first.pid).children(recursive=True)) < 3:
        assert first.poll() is None
        time.sleep(0.05)
    time.sleep(1)  # until they wait for nothing but their work
    first.send_signal(signal.SIGKILL)
    first.wait()
    _, left = psutil.wait_procs(started, timeout=30)
    assert left == []
