"""Run a command while nothing else holds a lock file, or as part of the run that holds it.

    python workflow/exclusive.py LOCKFILE SENTENCE COMMAND [ARGUMENT ...]
    python workflow/exclusive.py --join LOCKFILE COMMAND [ARGUMENT ...]

The first form starts a run; if one is under way, it prints SENTENCE and exits with 1. The second is
for the run's own steps. In both, the command replaces this process and holds the lock as long as it
lives; the operating system releases the lock with the process. So a killed run leaves no stale
lock, and a step that outlives it (because only its parent was killed) still keeps a new run from
starting beside it.

Uses only the standard library: this runs before anything is installed.
"""

import fcntl
import os
import sys
from pathlib import Path


def start(lock: str, sentence: str, *command: str) -> None:
    """Hold the lock alone for a moment, which proves that no run is under way; then share it."""
    try:
        descriptor = _locked(lock, fcntl.LOCK_EX)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(sentence)
    os.execvp(command[0], command)


def join(lock: str, *command: str) -> None:
    """Share the lock that the run already holds."""
    _locked(lock, fcntl.LOCK_SH)
    os.execvp(command[0], command)


def _locked(lock: str, kind: int) -> int:
    Path(lock).parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    os.set_inheritable(descriptor, True)
    fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    return descriptor


if __name__ == "__main__":
    if sys.argv[1] == "--join":
        join(*sys.argv[2:])
    else:
        start(*sys.argv[1:])
