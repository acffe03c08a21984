"""The report's answers, in sentences computed from the records."""

from collections.abc import Mapping

import pandas as pd

from qlab.claims import chooser
from qlab.claims.chooser import KINDS, PARENT
from qlab.claims.chooser_words import asked, sentence, time

LOSSES = {"one point": 0.01, "five points": 0.05}  # bounds that the advice is given for


def missing(found: Mapping[str, pd.DataFrame]) -> list[str]:
    """A sentence for each kind of model without records."""
    return [
        f"There are no records of {kind.experiment} in this profile, so nothing is said of the "
        f"{name}."
        for name, kind in KINDS.items()
        if name not in found
    ]


def headline(found: Mapping[str, pd.DataFrame]) -> list[str]:
    """What quantization buys within each loss: the smallest files, and the fastest."""
    told = []
    for words, loss in LOSSES.items():
        sizes = [
            f"{_taken(name, table, loss, 'size')['share']:.0%} ({name})"
            for name, table in found.items()
        ]
        told.append(f"At most {words} lost: the file shrinks to {_listed(sizes)} of float's bytes.")
    return [*told, *_fastest(found)]


def _fastest(found: Mapping[str, pd.DataFrame]) -> list[str]:
    """The fastest that loses at most one point, and where that is float itself."""
    rows = {name: _taken(name, table, LOSSES["one point"], "time") for name, table in found.items()}
    quick = [f"{time(row)} ({name})" for name, row in rows.items() if row["variant"] != PARENT]
    own = [name for name, row in rows.items() if row["variant"] == PARENT]
    told = []
    if quick:
        told = [f"At most one point lost: the fastest takes {_listed(quick)} of float's time."]
    return told + [
        f"At most one point lost: no {name} that was timed is faster than float." for name in own
    ]


def _taken(name: str, table: pd.DataFrame, loss: float, prefer: str) -> pd.Series:
    return chooser.choose(KINDS[name], table, max_loss=loss, prefer=prefer).fitting.iloc[0]


def _listed(words: list[str]) -> str:
    """A, B and C."""
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]


def advice(found: Mapping[str, pd.DataFrame]) -> dict[str, list[str]]:
    """For each kind of model: the smallest file within each loss, what to expect and why."""
    return {name: _advice(name, table) for name, table in found.items()}


def _advice(name: str, table: pd.DataFrame) -> list[str]:
    told: list[str] = []
    before = ""
    for loss in LOSSES.values():
        choice = chooser.choose(KINDS[name], table, max_loss=loss, prefer="size")
        again = choice.taken["variant"] == before
        told.append(f"For {asked(choice)}: the same." if again else sentence(choice))
        before = choice.taken["variant"]
    return told
