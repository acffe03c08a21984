"""A run that must end at a given time stops between two pieces of work, before it is killed.

Kaggle ends a session after twelve hours and keeps nothing of a run that it had to end.
`QLAB_STOP_AT` is the time, in seconds since 1970, after which no further piece is begun; what was
made lies under build/ and is found by the next run.
"""

import os
import time
from datetime import datetime

from qlab.core import paths
from qlab.core.errors import QlabError

LIMIT = 12 * 3600  # seconds of a session on Kaggle
SPARE = 45 * 60  # seconds left for the piece of work that has begun, and for saving


def stop_at() -> float | None:
    """The time from `QLAB_STOP_AT`, or None where a run may take as long as it needs."""
    text = os.environ.get("QLAB_STOP_AT", "")
    try:
        return float(text) if text else None
    except ValueError as error:
        raise QlabError(
            f"QLAB_STOP_AT is a time in seconds since 1970 (date +%s), not {text!r}."
        ) from error


def check() -> None:
    """Return while there is time, else end the notebook.

    A Kaggle notebook ends without an error (papermill takes `SystemExit(0)` for an end), because
    the output of a version that failed cannot be attached; elsewhere, and under `qlab run`, which
    must not take it for finished, it is a QlabError.
    """
    end = stop_at()
    if end is None or time.time() < end:
        return
    sentence = (
        f"The time is up (QLAB_STOP_AT, {datetime.fromtimestamp(end):%H:%M}): stopped between two "
        f"pieces of work. What was made is kept in {paths.build()}"
    )
    if paths.kaggle() and "QLAB_QUIET" not in os.environ:
        print(
            f"{sentence}; attach this version's output (Add Input, Your Work) and run again: the "
            "work goes on from there. Records and figures come when all is done."
        )
        raise SystemExit(0)
    raise QlabError(f"{sentence}; run again with another QLAB_STOP_AT, or none, to go on.")
