"""Says before each notebook of `make figures` how many there are and how long the rest takes."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from snakemake.logging import LogEvent

NOW = partial(print, flush=True)  # before the notebook's own process writes


class Remaining(logging.Filter):
    """Listens to Snakemake: RUN_INFO tells which rules will run, JOB_INFO which one begins now.

    A filter, not a handler: it hears what later filters keep from the screen.
    """

    def __init__(self, seconds: Mapping[str, float | None], say: Callable[[str], object] = NOW):
        """`seconds` has the last duration of each rule that counts; None where there is none."""
        super().__init__()
        self.seconds, self.say = dict(seconds), say
        self.planned: list[str] = []
        self.begun: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Take note of what is planned, speak where a planned rule begins, and let all pass."""
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self.planned = [rule for rule in record.stats if rule in self.seconds]
        elif event == LogEvent.JOB_INFO and record.rule_name in self.planned:
            waiting = [rule for rule in self.planned if rule not in self.begun]
            self.begun.append(record.rule_name)
            left = [self.seconds[rule] for rule in waiting]
            self.say(f"Notebook {len(self.begun)} of {len(self.planned)}: {duration(left)}")
        return True


def duration(seconds: Iterable[float | None]) -> str:
    """About how long several runs take together, by how long each took last time."""
    all_of_them = list(seconds)
    known = [s for s in all_of_them if s is not None]
    if not known:
        return "how long this takes is not known yet."
    least = "about" if len(known) == len(all_of_them) else "at least"
    total = f"{sum(known):.0f} s" if sum(known) < 90 else f"{sum(known) / 60:.0f} min"
    return f"{least} {total} left, by the last runs."


def last_seconds(records: str) -> float | None:
    """How long the run took that wrote an experiment's table of records; None where nothing says.

    A provenance that cannot be read is no reason not to run: the run writes another one.
    """
    try:
        origin = json.loads(Path(records).with_suffix(".provenance.json").read_text())
        return float(origin["duration_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
