"""Work spread over processes, for what is computed; what is timed has the machine for itself."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from qlab.errors import QlabError


def starmap(
    function: Callable, arguments: Sequence[tuple], processes: int, progress=iter
) -> list[Any]:
    """`function(*item)` of each item, in their order, computed by as many processes.

    With one process, or one item, it is computed here. Otherwise function, items and results travel
    as pickles, the others' log is not heard, and a script that calls this needs
    `if __name__ == "__main__":`, a notebook does not. The first item that fails raises its error;
    QlabError where a process is killed.
    """
    count = min(processes, len(arguments))
    if count < 2:
        return [function(*item) for item in progress(arguments)]
    # Not forked: of TensorFlow's and LiteRT's threads, a copy would have none.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, spawn, initializer=_prepare) as pool:
        waiting = [pool.submit(function, *item) for item in arguments]
        try:
            return [future.result() for future in progress(waiting)]
        except BrokenProcessPool as error:
            raise QlabError(
                f"One of {count} processes was killed, usually out of memory; free some, or take a "
                "smaller profile."
            ) from error
        finally:
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
