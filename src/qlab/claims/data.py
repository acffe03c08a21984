"""What notebook 05 judges by: tables of records, the items behind them, and figures' numbers."""

from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from qlab.claims import paired
from qlab.claims.address import NotTested, subject
from qlab.claims.claims import EMBEDDED, Claim
from qlab.core import items, parameters, paths, records


class Parameters(parameters.Parameters):
    """The parameters of notebook 05; its cell explains them."""

    profile: Literal["smoke", "mini", "full"] = "mini"
    example: str = "dynamic_int8_doubles_the_time"
    surprises: parameters.Count = 5


class Facts(NamedTuple):
    """What a rule reads for one tier."""

    table: pd.DataFrame  # records, or a figure's numbers
    items: pd.DataFrame | None  # behind the records, where they are kept and compared
    file: Path  # of the table
    model: str  # that the records are about
    dataset: str  # on which it was judged


class Evidence:
    """Reads what rules ask for, each file once; `used` keeps every table that was read."""

    def __init__(self) -> None:
        self.used: dict[Path, pd.DataFrame] = {}

    def of(self, claim: Claim, tier: str) -> Facts:
        """What the claim's rule reads; NotTested if it is missing, or this tier may not judge."""
        if claim.profile == "full" != tier:
            raise NotTested("It takes the source's own model and data: profile full.")
        place, rule, rows = claim.profile if tier == EMBEDDED else tier, claim.rule, None
        file, kept = (of(claim.experiment, place) for of in (records.csv_path, items.path))
        table = self._read(file, claim, "The records")
        own, dataset = subject(table)
        model = rule.model or own
        dataset = dataset or table.loc[table["model"] == model, "dataset"].iloc[0]
        if figure := getattr(rule, "figure", ""):
            file = paths.figures(place) / f"{figure}.csv"
            table = self._read(file, claim, f"The numbers of the figure {figure}", pd.read_csv)
        compared = rule.kind in ("ratio", "difference") and not rule.exact
        if compared and claim.experiment in paired.KEPT and kept.is_file():
            rows = self._read(kept, claim, "", pd.read_parquet)
        return Facts(table, rows, file, model, dataset)

    def _read(self, file: Path, claim: Claim, what: str, read=records.read_file) -> pd.DataFrame:
        if not file.is_file():
            notebook = f"the notebook of {claim.experiment} writes them"
            raise NotTested(f"{what} are missing for {file.parent.name}; {notebook}.")
        if file not in self.used:
            self.used[file] = read(file)
        return self.used[file]
