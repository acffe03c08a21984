"""Work in several processes comes back as from one, errors too, and nobody is left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import psutil
import pytest
from tiny_coco import random_world

from qlab.core import paths, processes
from qlab.core.errors import QlabError
from qlab.core.images import read_image
from qlab.detector import scoring


def test_answers_come_in_the_order_of_arguments_and_from_other_processes():
    assert processes.starmap(pow, [(2, 3), (3, 2), (5, 1)], 2) == [8, 9, 5]
    assert os.getpid() not in processes.starmap(os.getpid, [(), ()], 2)


@pytest.mark.parametrize(("arguments", "count"), [([(), ()], 1), ([()], 2), ([], 2)])
def test_one_process_or_one_item_needs_no_other(arguments, count):
    found = processes.starmap(os.getpid, arguments, count)
    assert found == [os.getpid()] * len(arguments)


@pytest.mark.parametrize("count", [1, 2])
def test_progress_is_that_of_finished_items(count):
    seen = []

    def shown(items):
        for number, item in enumerate(items):
            yield item
            seen.append(number)

    assert processes.starmap(abs, [(-1,), (-2,)], count, shown) == [1, 2] and seen == [0, 1]


def test_an_items_error_is_the_callers(tmp_path):
    missing = tmp_path / "none.png"
    with pytest.raises(QlabError, match="There is no image at .*none.png"):
        processes.starmap(read_image, [(missing,), (missing,)], 2)


def test_a_killed_process_is_a_sentence():
    with pytest.raises(QlabError, match="One of 2 processes was killed, usually out of memory"):
        processes.starmap(os._exit, [(9,), (9,)], 2)


def some_ids() -> set[int]:
    """Of the processes that did the work; on a busy machine one may do all of it."""
    return set(processes.starmap(_slowly_who, [()] * 4, 2))


def both_ids() -> set[int]:
    while len(found := some_ids()) < 2:
        pass
    return found


def test_the_processes_stay_for_the_next_call_and_killed_ones_are_replaced():
    first = both_ids()
    assert some_ids() <= first
    workers = [psutil.Process(number) for number in first]
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):  # one was enough for the pool to end both
            worker.kill()
    psutil.wait_procs(workers, timeout=20)
    with pytest.raises(BrokenProcessPool):  # as soon as the pool has noticed
        while True:
            processes._pool(2).submit(abs, -1)
            time.sleep(0.1)
    assert not some_ids() & first


def test_processes_work_for_the_present_folder(monkeypatch, tmp_path):
    """What they inherited is what counts when they are asked, in tests above all."""
    found = []
    for name in ("one", "two"):
        monkeypatch.setenv("QLAB_HOME", str(tmp_path / name))
        found.append(processes.starmap(paths.build, [(), ()], 2)[0])
    assert found == [tmp_path / "one" / "build", tmp_path / "two" / "build"]


def interrupted(items):
    yield next(iter(items))
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("first", "progress", "error"), [(0, interrupted, KeyboardInterrupt), ("x", iter, TypeError)]
)
def test_an_error_or_an_interrupt_ends_what_is_not_wanted(first, progress, error):
    workers = [psutil.Process(number) for number in both_ids()]
    with pytest.raises(error):
        processes.starmap(time.sleep, [(first,), (60,), (60,)], 2, progress)
    assert psutil.wait_procs(workers, timeout=20)[1] == []


def _slowly_who() -> int:
    time.sleep(0.3)
    return os.getpid()


def test_scores_are_the_same_from_any_number_of_processes():
    world, results = random_world(5, images=8)
    other = [{**r, "score": r["score"] ** 2 / 2} for r in results[::2]]
    ids = sorted(world.imgs)
    arguments = [(world, found, ids, 40, 3) for found in (results, other)]
    one, two = (processes.starmap(scoring.scored, arguments, n) for n in (1, 2))
    for (estimates, samples), (same, again) in zip(one, two, strict=True):
        assert estimates == same and samples.keys() == again.keys()
        assert all(samples[name].tobytes() == again[name].tobytes() for name in samples)


def test_processes_end_with_the_one_that_started_them():
    code = """
import time
from qlab import processes
if __name__ == "__main__":
    processes.starmap(time.sleep, [(60,), (60,)], 2)
"""
    first = subprocess.Popen([sys.executable, "-c", code])
    while len(started := psutil.Process(first.pid).children(recursive=True)) < 3:
        assert first.poll() is None
        time.sleep(0.05)
    time.sleep(1)  # until they wait for nothing but their work
    first.send_signal(signal.SIGKILL)
    first.wait()
    _, left = psutil.wait_procs(started, timeout=30)
    assert left == []
