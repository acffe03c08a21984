"""A run that must end at a given time stops between two pieces of work, before it is killed.

`QLAB_STOP_AT` is the time, in seconds since 1970, after which no further piece is begun.
"""

import os
import time
from datetime import datetime

from qlab.core import paths
from qlab.core.errors import QlabError


def stop_at() -> float | None:
    """The time from `QLAB_STOP_AT`, or None where a run may take as long as it needs."""
    text = os.environ.get("QLAB_STOP_AT", "")
    try:
        return float(text) if text else None
    except ValueError as error:
        raise QlabError(f"QLAB_STOP_AT is in seconds since 1970, not {text!r}.") from error


def check() -> None:
    """Return while there is time, else end the notebook: a QlabError.

    On Kaggle, where the output of a version that failed cannot be attached, papermill takes
    `SystemExit(0)` for an end, but not under `qlab run`, which needs to know.
    """
    end = stop_at()
    if end is None or time.time() < end:
        return
    told = f"The time is up (QLAB_STOP_AT, {datetime.fromtimestamp(end):%H:%M}): stopped between "
    told += f"two pieces of work. What was made is kept in {paths.build()}"
    if paths.kaggle() and "QLAB_QUIET" not in os.environ:
        print(f"{told}; attach this version's output (Add Input, Your Work) and run again.")
        raise SystemExit(0)
    raise QlabError(f"{told}; run again with another QLAB_STOP_AT, or none, to go on.")
