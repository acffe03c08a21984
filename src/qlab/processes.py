"""Work spread over processes, for what is computed; what is timed has the machine for itself."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from typing import Any

from qlab.errors import QlabError


def starmap(
    function: Callable, arguments: Sequence[tuple], processes: int, progress=iter
) -> list[Any]:
    """`function(*item)` of each item, in their order, computed by as many processes.

    With one process, or one item, it is computed here. Otherwise function, items and results travel
    as pickles, the others' log is not heard, and a script that calls this needs
    `if __name__ == "__main__":`, a notebook does not. The processes stay for the next call, which
    then need not wait until they have imported all. The first item that fails raises its error;
    QlabError where a process is killed.
    """
    if min(processes, len(arguments)) < 2:
        return [function(*item) for item in progress(arguments)]
    pool, waiting = _submitted(function, arguments, processes)
    try:
        return [future.result() for future in progress(waiting)]
    except BaseException as error:  # an interrupt too: nobody goes on with what is not wanted
        _discard(pool)
        if not isinstance(error, BrokenProcessPool):
            raise
        raise QlabError(
            f"One of {processes} processes was killed, usually out of memory; free some, or take "
            "a smaller profile."
        ) from error


def _submitted(
    function: Callable, arguments: Sequence[tuple], processes: int
) -> tuple[ProcessPoolExecutor, list[Future]]:
    """The pool at work on all items; a new one where an idle process of the old one was killed."""
    pool = _pool(processes)
    try:
        return pool, [pool.submit(function, *item) for item in arguments]
    except BrokenProcessPool:
        _discard(pool)
        pool = _pool(processes)
        return pool, [pool.submit(function, *item) for item in arguments]


@cache
def _pool(processes: int) -> ProcessPoolExecutor:
    # Not forked: of TensorFlow's and LiteRT's threads, a copy would have none.
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, spawn, initializer=_prepare)


def _discard(pool: ProcessPoolExecutor) -> None:
    _pool.cache_clear()
    pool.shutdown(wait=False, cancel_futures=True)


def _prepare() -> None:
    """Let a process yield while its threads wait, and end when the one that started it is gone."""
    # OpenMP's threads wait in a loop that keeps the core from the other processes' threads: on a
    # full machine PyTorch then takes ten times as long. Read when PyTorch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
