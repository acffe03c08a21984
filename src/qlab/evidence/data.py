"""What notebook 04 weighs: the six studies, our own experiments, and a study the reader gives."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.core.parameters import Parameters as Checked
from qlab.core.paths import home
from qlab.evidence import models, own


class Parameters(Checked):
    """The parameters of notebook 04; its cell explains them."""

    profile: Literal["smoke", "mini", "full"] = "mini"
    studies: str = ""


@dataclass(frozen=True)
class Task:
    """Checked tables of evidence models, and where their synthesis goes."""

    six: pd.DataFrame = field(repr=False)  # the six studies, a model for each precision
    pooled: pd.DataFrame = field(repr=False)  # the six studies, one model each
    ours: pd.DataFrame = field(repr=False)  # from our own records; empty where there are none
    given: pd.DataFrame = field(repr=False)  # the reader's study; empty if none was given
    tiers: dict[str, str]  # profile of each of our studies, real models first
    inputs: dict[str, str]  # sha256 of what was read
    place: str  # folder name of records and figures

    @property
    def rows(self) -> pd.DataFrame:
        """Every evidence model: of the six studies, ours and a given one."""
        return joined(self.six, self.ours, self.given)


def prepare(given: Parameters) -> Task:
    """Read and check all evidence; `given.studies` is the path of one more CSV of the same form.

    QlabError, before anything is written, where something is not of that form, or where a given
    study has the name of one that is weighed already.
    """
    folder = home() / "data" / "evidence"
    files = {n: folder / f"{n}.csv" for n in ("six_studies", "six_studies_pooled")}
    six, pooled = (models.read(file) for file in files.values())
    ours, records = own.weigh(given.profile, folder / "own.yaml")
    files |= {"own": folder / "own.yaml", **records}
    tiers = {study: file.parent.name for study, file in records.items()}
    further = six[:0]
    if given.studies:
        files["given"] = Path(given.studies).expanduser()
        further = models.read(files["given"])
        if known := set(further["study"]) & {*six["study"], *ours["study"]}:
            raise QlabError(
                f"{files['given'].name}, column 'study': '{sorted(known)[0]}' is the name of a "
                "study that is weighed already; give yours another name."
            )
    inputs = {name: file_sha256(file) for name, file in files.items()}
    by_content = given.model_copy(update={"studies": inputs.get("given", "")})
    return Task(six, pooled, ours, further, tiers, inputs, by_content.place("evidence"))


def joined(*tables: pd.DataFrame) -> pd.DataFrame:
    """Tables of evidence models, concatenated."""
    return pd.concat([table for table in tables if len(table)], ignore_index=True)
