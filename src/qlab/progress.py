"""Progress bars for long loops: shown to a person, silent when headless."""

import os
import sys
from collections.abc import Callable, Iterable

from tqdm.auto import tqdm


def quiet() -> bool:
    """Whether nobody watches: in CI, and when the runner (`QLAB_QUIET`) stores all output."""
    return bool(os.environ.get("CI") or os.environ.get("QLAB_QUIET"))


def bar(name: str) -> Callable[[Iterable], Iterable]:
    """A wrapper for an iterable that shows a named bar.

    Silent when `quiet`, so that stored outputs hold results only.
    """

    def wrap(items: Iterable) -> Iterable:
        return tqdm(items, desc=name, disable=quiet(), leave=False, file=sys.stderr)

    return wrap
