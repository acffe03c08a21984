"""Work spread over processes: what is computed. Times are compared where nothing else runs."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from qlab.core.errors import QlabError


def starmap(
    function: Callable, arguments: Sequence[tuple], processes: int, progress=iter
) -> list[Any]:
    """`function(*item)` of each item, in their order, computed by as many processes.

    With one process, or one item, it is computed here. Otherwise function, items and results travel
    as pickles, the others' log is not heard, and a script that calls this needs
    `if __name__ == "__main__":`, a notebook does not. The processes stay for the next call, which
    then need not wait until they have imported all. The first item that fails raises its error, and
    an interrupt ends all of them; QlabError where a process is killed.
    """
    if min(processes, len(arguments)) < 2:
        return [function(*item) for item in progress(arguments)]
    try:
        waiting = _submitted(function, arguments, processes)
        return [future.result() for future in progress(waiting)]
    except BaseException as error:  # an interrupt too: nobody waits for the other items
        _discard()
        if not isinstance(error, BrokenProcessPool):
            raise
        raise QlabError(
            f"One of {processes} processes was killed, usually out of memory; free some, or take "
            "a smaller profile."
        ) from error


def _submitted(function: Callable, arguments: Sequence[tuple], processes: int) -> list[Future]:
    """All items, given to the kept processes, or to new ones where one of those was killed."""
    try:
        return [_pool(processes).submit(function, *item) for item in arguments]
    except BrokenProcessPool:
        _discard()
        return [_pool(processes).submit(function, *item) for item in arguments]


class _Kept(NamedTuple):
    """Processes that wait for items, and end when `alive` is closed, at work or not."""

    key: tuple
    pool: ProcessPoolExecutor
    alive: Connection


_kept: list[_Kept] = []  # one, or none yet


def _pool(processes: int) -> ProcessPoolExecutor:
    """The processes that are kept; others if their number or what they inherited is now another."""
    ours = sorted(item for item in os.environ.items() if item[0].startswith("QLAB_"))
    key = (processes, os.getcwd(), *ours)
    if not _kept or _kept[0].key != key:
        _discard()
        # Not forked: of TensorFlow's and LiteRT's threads, a copy would have none.
        spawn = multiprocessing.get_context("spawn")
        watched, alive = spawn.Pipe(duplex=False)
        pool = ProcessPoolExecutor(processes, spawn, initializer=_prepare, initargs=(watched,))
        _kept.append(_Kept(key, pool, alive))
    return _kept[0].pool


def _discard() -> None:
    """End the processes that are kept, whatever they do."""
    while _kept:
        _, pool, alive = _kept.pop()
        pool.shutdown(wait=False, cancel_futures=True)
        alive.close()


def _prepare(watched: Connection) -> None:
    """Let a process yield while its threads wait, and end with the pipe that it watches.

    The pipe's other end closes with the process that started this one, if not before.
    """
    # An interrupt is for the one who waits for the items, who then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # OpenMP's threads wait in a loop that keeps the core from the other processes' threads: on a
    # full machine PyTorch then takes ten times as long. Read when PyTorch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    def watch() -> None:
        watched.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
