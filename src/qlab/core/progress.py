"""Loops that show a progress bar, and stop between two items when the time is up.

`QLAB_STOP_AT` is that time, in seconds since 1970: a run that must end stops before it is killed.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from tqdm.auto import tqdm

from qlab.core import paths
from qlab.core.errors import QlabError


def quiet() -> bool:
    """Whether nobody watches: in CI, and when the runner (`QLAB_QUIET`) stores all output."""
    return bool(os.environ.get("CI") or os.environ.get("QLAB_QUIET"))


def bar(name: str) -> Callable[[Iterable], Iterable]:
    """A wrapper for an iterable that shows a named bar, unless `quiet`, and calls `check_time`."""

    def wrap(items: Iterable) -> Iterator:
        for item in tqdm(items, desc=name, disable=quiet(), leave=False, file=sys.stderr):
            check_time()
            yield item

    return wrap


def stop_at() -> float:
    """The time from `QLAB_STOP_AT`; infinity where a run may take as long as it needs."""
    text = os.environ.get("QLAB_STOP_AT") or "inf"
    try:
        return float(text)
    except ValueError as error:
        raise QlabError(f"QLAB_STOP_AT is in seconds since 1970, not {text!r}.") from error


def check_time() -> None:
    """Return while there is time; otherwise end the notebook with a QlabError. On Kaggle, where the
    output of a failed version cannot be attached, raise `SystemExit(0)` instead, which papermill
    takes for a normal end; but not under `qlab run`, which needs to know."""
    if time.time() < stop_at():
        return
    told = "The time is up (QLAB_STOP_AT): stopped between two pieces of work. What was made is "
    told += f"kept in {paths.build()}"
    if paths.kaggle() and "QLAB_QUIET" not in os.environ:
        print(f"{told}; attach this version's output (Add Input, Your Work) and run again.")
        raise SystemExit(0)
    raise QlabError(f"{told}; run again with another QLAB_STOP_AT, or none, to go on.")
