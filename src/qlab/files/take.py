"""Take a variant along: in a folder of your own, with a card that says what is in it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from qlab.core.cache import file_sha256, written_whole
from qlab.core.errors import QlabError
from qlab.core.secrets import known, redact

CARD = "card.json"


def card(model: str, rows: pd.DataFrame, source: dict[str, Any]) -> dict[str, Any]:
    """The content of a variant's card: `rows`, its records, and `source`, their provenance."""
    numbers = rows.dropna(axis=1, how="all").to_dict("records")
    about = {"model": model, "variant": rows["variant"].iloc[0]}
    return about | {"provenance": source, "records": numbers}


def along(folder: str | Path, about: dict[str, Any], write: Callable[[Path], None]) -> Path:
    """Fill a folder by `write(part)` and add a card: `about`, and the sha256 of every file written.
    Returns the folder. What an earlier call took along there is replaced; QlabError if the folder
    holds anything else."""
    target = Path(folder).expanduser().resolve()
    there = {p.name for p in target.iterdir()} if target.is_dir() else set()
    if there - _taken(target) or target.is_file():
        raise QlabError(
            f"{target} holds something else than what was taken along before; nothing was written. "
            "Name a folder that is new or empty."
        )
    with written_whole(target) as part:
        part.mkdir()
        write(part)
        files = {path.name: file_sha256(path) for path in sorted(part.iterdir())}
        text = json.dumps({**about, "files": files}, indent=2, sort_keys=True, default=str)
        # A parameter in the provenance may hold a token.
        (part / CARD).write_text(redact(text, known()) + "\n", "utf-8")
        shutil.rmtree(target, ignore_errors=True)  # checked above: qlab's own, or empty
    return target


def _taken(folder: Path) -> set[str]:
    """Names of the files taken along to a folder before, from its card; without one, nothing."""
    try:
        return {CARD, *json.loads((folder / CARD).read_text("utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
