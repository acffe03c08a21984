"""Computations spread over processes. Times are not: they are compared where nothing else runs."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from joblib.externals import loky
from joblib.externals.loky import process_executor

from qlab.core.errors import QlabError


def starmap(
    function: Callable, arguments: Sequence[tuple], processes: int, progress=iter
) -> list[Any]:
    """`function(*item)` for each item, in their order, computed by as many processes, which stay
    for the next call. With one process or one item it is computed here. Function, items and results
    travel as pickles. The first item that fails raises its error, and an interrupt ends all
    processes; QlabError if a process is killed."""
    if min(processes, len(arguments)) < 2:
        return [function(*item) for item in progress(arguments)]
    pool = _pool(processes)
    try:
        waiting = [pool.submit(function, *item) for item in arguments]
        return [future.result() for future in progress(waiting)]
    except BaseException as error:  # an interrupt too: nobody waits for the other items
        pool.shutdown(kill_workers=True)
        if not isinstance(error, loky.BrokenProcessPool):
            raise
        raise QlabError(
            f"One of {processes} processes was killed, usually out of memory; free some, or take a "
            "smaller profile."
        ) from error


def _pool(processes: int):
    """The processes kept so far; new ones if one was killed or what they inherit has changed. Not
    joblib's `Parallel`, which would give each of them one thread and large arrays read-only."""
    # Threads that wait in a loop keep others off the core: PyTorch then takes ten times as long.
    inherited = {"OMP_WAIT_POLICY": "PASSIVE"}
    inherited |= {k: v for k, v in os.environ.items() if k.startswith(("QLAB_", "OMP_"))}
    start = {"initializer": _prepare, "initargs": (os.getpid(), os.getcwd()), "env": inherited}
    return loky.get_reusable_executor(processes, timeout=None, kill_workers=True, **start)


def _prepare(parent: int, _folder: str) -> None:
    """Make this process end with `parent`, whatever it is doing; it is already in the folder."""
    # An interrupt is for the parent, which waits for the items and then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # loky mistakes a loaded model for a leak, and would start another process with a warning.
    process_executor._USE_PSUTIL = False

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
