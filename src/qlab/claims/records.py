"""The records and drawn numbers that claims are judged from, and where they were found."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from qlab.claims import claims
from qlab.claims.claims import Claim
from qlab.core import paths, records
from qlab.core.errors import QlabError

COMMITTED = "mini"  # the profile whose records are part of the project


class NotTested(QlabError):
    """Why a claim cannot be judged here, in one sentence."""


@dataclass(frozen=True)
class Evidence:
    """Tables by experiment, of a profile or, where it has none, of the committed one.

    The few samples of `smoke` judge nothing: there the committed records are read. A claim that
    needs `full` is judged by `full` alone. `used` lists the files that were read.
    """

    profile: str
    used: dict[Path, pd.DataFrame] = field(default_factory=dict)

    def records(self, claim: Claim) -> tuple[pd.DataFrame, Path]:
        """The records of the claim's experiment and their file; NotTested if there are none."""
        places = self._places(claim)
        for place in places:
            file = records.csv_path(claim.experiment, place)
            if file.is_file():
                if file not in self.used:
                    self.used[file] = records.read(claim.experiment, place)
                return self.used[file], file
        notebook = claims.NOTEBOOKS[claim.experiment]
        raise NotTested(
            f"The records of {claim.experiment} are missing for {' and '.join(places)}; "
            f"notebook {notebook} writes them."
        )

    def drawn(self, claim: Claim) -> tuple[pd.DataFrame, Path]:
        """The numbers of the figure that the claim's rule names, and their file."""
        places = self._places(claim)
        for place in places:
            file = paths.figures(place) / f"{claim.rule['figure']}.csv"
            if file.is_file():
                if file not in self.used:
                    self.used[file] = pd.read_csv(file)
                return self.used[file], file
        raise NotTested(
            f"The numbers of the figure {claim.rule['figure']} are missing for "
            f"{' and '.join(places)}; notebook {claims.NOTEBOOKS[claim.experiment]} draws it."
        )

    def _places(self, claim: Claim) -> list[str]:
        """Where to look, in this order."""
        if claim.profile == "full" and self.profile != "full":
            raise NotTested("It takes the source's own model and data: profile full.")
        if claim.profile == "full":
            return ["full"]
        own = [claim.profile.replace(COMMITTED, self.profile)] if self.profile != "smoke" else []
        return list(dict.fromkeys([*own, claim.profile]))


def subject(table: pd.DataFrame) -> tuple[str | None, str | None]:
    """The model and the data set that an experiment is about: those whose file sizes it records.

    Twins of the model and worsened copies of the data have no sizes of their own. (None, None)
    where no sizes are recorded at all.
    """
    rows = records.pick(table, "size_bytes")
    return (rows["model"].iloc[0], rows["dataset"].iloc[0]) if len(rows) else (None, None)
