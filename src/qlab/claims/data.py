"""What notebook 05 judges from: the records and drawn numbers, and where they were found."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from qlab.claims import claims
from qlab.claims.address import NotTested
from qlab.claims.claims import EMBEDDED, NOTEBOOKS, Claim
from qlab.core import paths, records
from qlab.core.errors import QlabError
from qlab.core.parameters import Count
from qlab.core.parameters import Parameters as Checked


class Parameters(Checked):
    """The parameters of notebook 05, as its cell explains them."""

    profile: Literal["smoke", "mini", "full"] = "mini"
    example: str = "dynamic_int8_doubles_the_time"
    surprises: Count = 5


@dataclass(frozen=True)
class Evidence:
    """Tables by experiment, of each tier. `used` lists the files that were read."""

    used: dict[Path, pd.DataFrame] = field(default_factory=dict)

    def of(self, claim: Claim, tier: str) -> tuple[pd.DataFrame, Path]:
        """What the claim's rule reads: records, or the numbers of the figure that it names."""
        figure = getattr(claim.rule, "figure", None)
        if not figure:
            return self.records(claim, tier)
        file = paths.figures(_place(claim, tier)) / f"{figure}.csv"
        return self._read(file, pd.read_csv, claim, f"The numbers of the figure {figure}")

    def records(self, claim: Claim, tier: str) -> tuple[pd.DataFrame, Path]:
        """The records of the claim's experiment and their file; NotTested if there are none."""
        file = records.csv_path(claim.experiment, _place(claim, tier))
        return self._read(file, records.read_file, claim, f"The records of {claim.experiment}")

    def _read(
        self, file: Path, read: Callable, claim: Claim, what: str
    ) -> tuple[pd.DataFrame, Path]:
        if not file.is_file():
            notebook = NOTEBOOKS[claim.experiment]
            raise NotTested(
                f"{what} are missing for {file.parent.name}; notebook {notebook} writes them."
            )
        if file not in self.used:
            self.used[file] = read(file)
        return self.used[file], file


def _place(claim: Claim, tier: str) -> str:
    """The folder of a tier's records; NotTested where the claim takes a nearer tier."""
    if claim.profile == "full" and tier != "full":
        raise NotTested("It takes the source's own model and data: profile full.")
    return claim.profile if tier == EMBEDDED else tier


def prepare(given: Parameters) -> Evidence:
    """The evidence, of which nothing is read yet. QlabError: no such example."""
    if given.example not in [claim.id for claim in claims.read().claims]:
        raise QlabError(f"There is no claim '{given.example}' in data/claims.yaml.")
    return Evidence()
