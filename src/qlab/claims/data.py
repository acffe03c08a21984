"""What notebook 05 judges from: the records and drawn numbers, and where they were found."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from qlab.claims.address import NotTested
from qlab.claims.claims import NOTEBOOKS, Claim
from qlab.core import paths, records
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
    """Tables by experiment, of a profile or, where it has none, of the committed one.

    The few samples of `smoke` judge nothing: there the committed records are read. A claim that
    needs `full` is judged by `full` alone. `used` lists the files that were read.
    """

    profile: str
    used: dict[Path, pd.DataFrame] = field(default_factory=dict)

    def of(self, claim: Claim) -> tuple[pd.DataFrame, Path]:
        """What the claim's rule reads: records, or the numbers of the figure that it names."""
        figure = getattr(claim.rule, "figure", None)
        return self._drawn(claim, figure) if figure else self.records(claim)

    def records(self, claim: Claim) -> tuple[pd.DataFrame, Path]:
        """The records of the claim's experiment and their file; NotTested if there are none."""
        files = {p: records.csv_path(claim.experiment, p) for p in self._places(claim)}
        return self._first(files, records.read_file) or _missing(
            f"The records of {claim.experiment} are missing", files, claim, "writes them"
        )

    def _drawn(self, claim: Claim, figure: str) -> tuple[pd.DataFrame, Path]:
        files = {p: paths.figures(p) / f"{figure}.csv" for p in self._places(claim)}
        return self._first(files, pd.read_csv) or _missing(
            f"The numbers of the figure {figure} are missing", files, claim, "draws it"
        )

    def _first(self, files: dict[str, Path], read: Callable) -> tuple[pd.DataFrame, Path] | None:
        for file in files.values():
            if file.is_file():
                if file not in self.used:
                    self.used[file] = read(file)
                return self.used[file], file
        return None

    def _places(self, claim: Claim) -> list[str]:
        """Where to look, in this order."""
        if claim.profile == "full" and self.profile != "full":
            raise NotTested("It takes the source's own model and data: profile full.")
        if claim.profile == "full":
            return ["full"]
        own = [claim.profile.replace(COMMITTED, self.profile)] if self.profile != "smoke" else []
        return list(dict.fromkeys([*own, claim.profile]))


def _missing(what: str, files: dict[str, Path], claim: Claim, does: str):
    raise NotTested(
        f"{what} for {' and '.join(files)}; notebook {NOTEBOOKS[claim.experiment]} {does}."
    )


def prepare(given: Parameters) -> Evidence:
    """The evidence of a profile, of which nothing is read yet."""
    return Evidence(given.profile)
