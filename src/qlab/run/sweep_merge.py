"""The points of a sweep as one table of records, whatever their order."""

import json
import time
from pathlib import Path
from typing import Any

import pandas as pd

from qlab.core import provenance, records
from qlab.core.errors import QlabError
from qlab.core.place import hash_json
from qlab.run.sweep import Sweep

_ORIGIN = ("commit", "hardware", "versions")  # what points have in common that one machine ran


def merge(sweep: Sweep, folder: Path, target: Path) -> dict[str, str]:
    """Join the files of a sweep's points, each read once, into `target`.

    Returns why points failed, by name. QlabError where a point is missing, or the same number comes
    from two of them. The provenance has one entry in `merged_from` for all points of one machine,
    commit and set of versions.
    """
    started = time.time()
    by_name = {name: folder / f"{name}.csv" for name in sorted(sweep.points)}
    if missing := [str(file) for file in by_name.values() if not file.is_file()]:
        raise QlabError(f"The sweep {sweep.name!r} is not merged: {missing[0]} is missing.")
    tables = [records.read_file(file) for file in by_name.values()]
    told = {name: _told(file) for name, file in by_name.items()}
    failed = {name: one["failed"] for name, one in told.items() if "failed" in one}
    settings = {"profile": sweep.profile, "sweep": sweep.name, "axes": sweep.axes}
    origin = provenance.collect(settings, _inputs(told), [], started)
    origin |= {"merged_from": _origins(told), "failed": failed}
    origin["duration_s"] = round(sum(one["duration_s"] for one in told.values()), 1)
    records.write_to(target, pd.concat(tables, ignore_index=True), origin)
    return failed


def _told(file: Path) -> dict[str, Any]:
    return json.loads(records.provenance_path(file).read_text(encoding="utf-8"))


def _inputs(told: dict[str, dict]) -> dict[str, dict[str, str]]:
    """Hashes of what went in, by the model's name."""
    found: dict[str, dict[str, str]] = {}
    for one in told.values():
        if one["inputs"]:
            # Calibration passages are drawn anew for every seed, and told by the points' files.
            same = {k: v for k, v in one["inputs"].items() if k != "calibration"}
            found.setdefault(one["parameters"]["model"], same)
    return found


def _origins(told: dict[str, dict]) -> list[dict[str, Any]]:
    """Points by the machine, commit and versions they were measured with."""
    groups: dict[str, dict[str, Any]] = {}
    for name, one in told.items():
        origin = {key: one[key] for key in _ORIGIN}
        group = groups.setdefault(hash_json(origin), origin | {"what": [], "duration_s": 0.0})
        group["what"].append(name)
        group["duration_s"] = round(group["duration_s"] + one["duration_s"], 1)
    return list(groups.values())


def summary(sweep: Sweep, failed: dict[str, str]) -> str:
    """What is said at the end of a run."""
    done = f"{len(sweep.points) - len(failed)} of {len(sweep.points)} points"
    if not failed:
        return f"{done} measured: data/results/{sweep.place}/{sweep.experiment}.csv."
    lines = [f"{done} measured; these failed, and run again with the next `make sweep`:"]
    return "\n".join(lines + [f"  {name}: {reason}" for name, reason in failed.items()])
