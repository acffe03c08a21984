"""Progress bars for long loops: shown to a person, silent when headless."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator

from tqdm.auto import tqdm

from qlab.core import time_budget


def quiet() -> bool:
    """Whether nobody watches: in CI, and when the runner (`QLAB_QUIET`) stores all output."""
    return bool(os.environ.get("CI") or os.environ.get("QLAB_QUIET"))


def bar(name: str) -> Callable[[Iterable], Iterable]:
    """A wrapper for an iterable that shows a named bar, and stops when the time is up.

    Silent when `quiet`, so that stored outputs hold results only.
    """

    def wrap(items: Iterable) -> Iterator:
        for item in tqdm(items, desc=name, disable=quiet(), leave=False, file=sys.stderr):
            time_budget.check()
            yield item

    return wrap
