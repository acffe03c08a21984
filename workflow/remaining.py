"""Says before each notebook of `make figures` how many there are and how long the rest takes."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from snakemake.logging import LogEvent


class Remaining(logging.Filter):
    """Listens to Snakemake: RUN_INFO says which rules will run, JOB_INFO which one begins now.

    A filter, not a handler, because it also sees what later filters keep from the screen.
    """

    def __init__(self, seconds: Mapping[str, float]):
        """`seconds` is the last duration of each rule that counts; 0 where it is unknown."""
        super().__init__()
        self.seconds = seconds
        self.planned: list[str] = []
        self.begun: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Note what is planned, print when a planned rule begins, and let every record pass."""
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self.planned = [rule for rule in record.stats if rule in self.seconds]
        elif event == LogEvent.JOB_INFO and record.rule_name in self.planned:
            left = sum(self.seconds[rule] for rule in self.planned if rule not in self.begun)
            self.begun.append(record.rule_name)
            told = f"{left:.0f} s" if left < 90 else f"{left / 60:.0f} min"
            known = all(self.seconds[rule] for rule in self.planned)
            how = "about" if known else "at least"
            told = f": {how} {told} left, by the last runs" if left else ""
            # Flushed, because the notebook's own process writes next.
            print(f"Notebook {len(self.begun)} of {len(self.planned)}{told}.", flush=True)
        return True


def last_seconds(records: str) -> float:
    """How long the run took that wrote an experiment's table of records; 0 if this is unknown.

    A provenance that cannot be read is no reason not to run: the run writes a new one.
    """
    try:
        origin = json.loads(Path(records).with_suffix(".provenance.json").read_text())
        return float(origin["duration_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
