"""How the numbers were measured, and on what machine: from the provenance beside the records."""

import json
from pathlib import Path
from typing import Any

from qlab.claims import chooser
from qlab.core import records
from qlab.run.report.pictures import data_uri


def experiments(profile: str, names: list[str]) -> list[dict[str, Any]]:
    """What lies beside each experiment's records, also beside those of a long sweep.

    Keys: name, profile, rows, records (data URI), and those of `provenance.collect`.
    """
    found = []
    for name in names:
        for place in (profile, profile + chooser.LONG):
            path = records.csv_path(name, place)
            if path.is_file():
                found.append(_experiment(name, place, path))
    return found


def _experiment(name: str, place: str, path: Path) -> dict[str, Any]:
    told = json.loads(path.with_suffix(".provenance.json").read_text(encoding="utf-8"))
    here = {"name": name, "profile": place, "rows": len(records.read(name, place))}
    return told | here | {"records": data_uri(path)}


def machines(found: list[dict[str, Any]]) -> list[str]:
    """The machines that measured, each once, as a sentence."""
    told = {}
    for one in found:
        h = one["hardware"]
        words = (
            f"{h['processor']}, {h['architecture']}, {h['cores']} cores, "
            f"{h['memory_bytes'] / 2**30:.1f} GiB of memory"
        )
        told.setdefault(words, []).append(f"{one['name']} ({one['profile']})")
    return [f"{words}: {', '.join(names)}." for words, names in told.items()]


def flat(values: dict[str, Any]) -> str:
    """Names and values on one line."""
    return ", ".join(f"{k} {v}" for k, v in values.items() if v not in ("", None))
