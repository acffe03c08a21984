"""Run one point of a sweep and write its records whole; a failed point is a record too.

Beside the records lies their provenance, and after a failure `<point>.failure`, whose change makes
Snakemake run the point again next time.
"""

import importlib
import json
import os
import time
import traceback
from pathlib import Path
from typing import Any

from qlab.core import provenance, records
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError
from qlab.core.records import Record
from qlab.run import sweep

FAILED = "failed"  # the metric of a point that gave nothing else
UNKNOWN = "unknown"  # its data set, which it did not come to read
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def run(experiment: str, profile: str, values: sweep.Values, target: Path, threads: int) -> str:
    """Measure a point and write its records to `target`; returns why it failed, else "".

    With the same number of threads the numbers are the same on every node of a kind.
    """
    # Read by the frameworks when they are imported, which the study's module does.
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    started = time.time()
    try:
        module = importlib.import_module(f"qlab.{sweep.STUDIES[experiment].module}")
        task, found = module.measure(profile, threads, **values)
        settings = task.settings() | {"point": values}
        origin = provenance.collect(settings, task.inputs(), module.PACKAGES, started)
        records.write_to(target, records.as_table(found), origin)
    except Exception as error:  # whatever it is, the other points go on, and this one says why
        if not isinstance(error, QlabError):
            traceback.print_exc()
        reason = str(error) if isinstance(error, QlabError) else f"{type(error).__name__}: {error}"
        return give_up(experiment, profile, values, target, reason, started)
    return ""


def give_up(
    experiment: str,
    profile: str,
    values: sweep.Values,
    target: Path,
    reason: str,
    started: float | None = None,
) -> str:
    """Write the one record of a failed point, with the reason in its provenance."""
    started = started or time.time()
    name = sweep.variant(sweep.STUDIES[experiment], values)
    failed = Record(
        experiment, values["model"], UNKNOWN, name, FAILED, 1.0, "1", seed=values.get("seed")
    )
    settings: dict[str, Any] = {"profile": profile, "point": values}
    origin = provenance.collect(settings, {}, [], started) | {"failed": reason}
    with written_whole(target.with_suffix(".failure")) as part:
        part.write_text(json.dumps({"reason": reason, "at": time.time()}) + "\n")
    records.write_to(target, records.as_table([failed]), origin)
    return reason


def parsed(experiment: str, assignments: list[str]) -> sweep.Values:
    """The values of a point from `axis=value` texts, checked."""
    if experiment not in sweep.STUDIES:
        raise QlabError(f"{experiment!r} cannot be swept; {', '.join(sweep.STUDIES)} can.")
    study, values = sweep.STUDIES[experiment], {}
    for assignment in assignments:
        axis, _, text = assignment.partition("=")
        if axis not in study.axes:
            raise QlabError(f"A point of {experiment} has {', '.join(study.axes)}; got {axis!r}.")
        values[axis] = int(text) if text.isdecimal() and study.axes[axis] is not str else text
        if values[axis] != sweep.FLOAT:
            sweep.check(study, axis, values[axis], f"A point of {experiment}")
    needed = [a for a in study.axes if a not in study.without.get(values.get("method"), ())]
    if set(needed) != set(values):
        found = ", ".join(values)
        raise QlabError(f"This point of {experiment} takes {', '.join(needed)}; got {found}.")
    return values
