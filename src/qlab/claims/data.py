"""What notebook 05 judges from: the records and drawn numbers, and where they were found."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from qlab.claims import claims
from qlab.claims.address import NotTested
from qlab.claims.claims import NOTEBOOKS, Claim
from qlab.core import paths, records
from qlab.core.errors import QlabError
from qlab.core.parameters import Count
from qlab.core.parameters import Parameters as Checked

COMMITTED = "mini"  # the profile whose records are part of the project


class Parameters(Checked):
    """The parameters of notebook 05, as its cell explains them."""

    profile: Literal["smoke", "mini", "full"] = "mini"
    example: str = "dynamic_int8_doubles_the_time"
    surprises: Count = 5


@dataclass(frozen=True)
class Evidence:
    """Tables by experiment, of a profile; the committed one's for `smoke` and what it lacks.

    A claim that needs `full` is judged by `full` alone. `used` lists the files that were read.
    """

    profile: str
    used: dict[Path, pd.DataFrame] = field(default_factory=dict)

    def of(self, claim: Claim) -> tuple[pd.DataFrame, Path]:
        """What the claim's rule reads: records, or the numbers of the figure that it names."""
        figure = getattr(claim.rule, "figure", None)
        if not figure:
            return self.records(claim)
        files = {p: paths.figures(p) / f"{figure}.csv" for p in self._places(claim)}
        told = f"The numbers of the figure {figure} are missing", "draws it"
        return self._first(files, pd.read_csv, claim, *told)

    def records(self, claim: Claim) -> tuple[pd.DataFrame, Path]:
        """The records of the claim's experiment and their file; NotTested if there are none."""
        files = {p: records.csv_path(claim.experiment, p) for p in self._places(claim)}
        told = f"The records of {claim.experiment} are missing", "writes them"
        return self._first(files, records.read_file, claim, *told)

    def _first(
        self, files: dict[str, Path], read: Callable, claim: Claim, what: str, does: str
    ) -> tuple[pd.DataFrame, Path]:
        for file in files.values():
            if file.is_file():
                if file not in self.used:
                    self.used[file] = read(file)
                return self.used[file], file
        notebook = NOTEBOOKS[claim.experiment]
        raise NotTested(f"{what} for {' and '.join(files)}; notebook {notebook} {does}.")

    def _places(self, claim: Claim) -> list[str]:
        """Where to look, in this order."""
        if claim.profile == "full" and self.profile != "full":
            raise NotTested("It takes the source's own model and data: profile full.")
        if claim.profile == "full":
            return ["full"]
        own = [claim.profile.replace(COMMITTED, self.profile)] if self.profile != "smoke" else []
        return list(dict.fromkeys([*own, claim.profile]))


def prepare(given: Parameters) -> Evidence:
    """The evidence of a profile, of which nothing is read yet. QlabError: no such example."""
    if given.example not in [claim.id for claim in claims.read()[1]]:
        raise QlabError(f"There is no claim '{given.example}' in data/claims.yaml.")
    return Evidence(given.profile)
