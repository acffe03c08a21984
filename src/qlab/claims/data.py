"""What notebook 05 judges from: tables of records, the items behind them, numbers of figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from qlab.claims import claims
from qlab.claims.address import NotTested, subject
from qlab.claims.claims import EMBEDDED, NOTEBOOKS, Claim
from qlab.core import items, parameters, paths, records
from qlab.core.errors import QlabError


class Parameters(parameters.Parameters):
    """The parameters of notebook 05, as its cell explains them."""

    profile: Literal["smoke", "mini", "full"] = "mini"
    example: str = "dynamic_int8_doubles_the_time"
    surprises: parameters.Count = 5


class Facts(NamedTuple):
    """What a rule reads of one tier."""

    table: pd.DataFrame  # records, or a figure's numbers
    items: pd.DataFrame | None  # that the records are of, where they are kept
    file: Path  # of the table
    model: str = "none"  # whose records they are
    dataset: str = "none"  # that judged it


class Evidence:
    """Reads what rules ask for, each file once; `used` has all that was read."""

    def __init__(self) -> None:
        self.used: dict[Path, pd.DataFrame] = {}

    def of(self, claim: Claim, tier: str) -> Facts:
        """What the claim's rule reads; NotTested where that is missing, or no tier may judge."""
        if claim.profile == "full" != tier:
            raise NotTested("It takes the source's own model and data: profile full.")
        place = claim.profile if tier == EMBEDDED else tier
        file, kept = (f(claim.experiment, place) for f in (records.csv_path, items.path))
        if figure := getattr(claim.rule, "figure", ""):
            drawn = paths.figures(place) / f"{figure}.csv"
            what = f"The numbers of the figure {figure}"
            numbers = self._read(drawn, pd.read_csv, claim, what)
            if not file.is_file():
                return Facts(numbers, None, drawn)
        found = self._read(file, records.read_file, claim, f"The records of {claim.experiment}")
        own, dataset = subject(found)
        model = claim.rule.model or own
        about = model, dataset or found.loc[found["model"] == model, "dataset"].iloc[0]
        if figure:
            return Facts(numbers, None, drawn, *about)
        compared = claim.rule.kind in ("ratio", "difference") and not claim.rule.exact
        rows = self._read(kept, pd.read_parquet) if compared and kept.is_file() else None
        return Facts(found, rows, file, *about)

    def _read(self, file: Path, read: Callable, claim: Claim | None = None, what: str = ""):
        if claim and not file.is_file():
            notebook = f"notebook {NOTEBOOKS[claim.experiment]} writes them"
            raise NotTested(f"{what} are missing for {file.parent.name}; {notebook}.")
        if file not in self.used:
            self.used[file] = read(file)
        return self.used[file]


def prepare(given: Parameters) -> Evidence:
    """The evidence, of which nothing is read yet. QlabError: no such example."""
    if given.example not in [claim.id for claim in claims.read().claims]:
        raise QlabError(f"There is no claim '{given.example}' in data/claims.yaml.")
    return Evidence()
