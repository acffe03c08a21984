"""What notebook 04 weighs: the six studies, our own experiments, and a study that is given."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.core.parameters import Parameters as Checked
from qlab.core.paths import home
from qlab.core.records import Record, csv_path
from qlab.evidence import measure, meta, models, own, robustness
from qlab.evidence.synthesis import by_effect, by_technique


class Parameters(Checked):
    """The parameters of notebook 04, as its cell explains them."""

    profile: Literal["smoke", "mini", "full"] = "mini"
    studies: str = ""


@dataclass(frozen=True)
class Task:
    """Tables of evidence models, checked, and where their synthesis goes."""

    profile: str  # whose records are our own evidence
    six: pd.DataFrame = field(repr=False)  # the six studies, a model for each precision
    pooled: pd.DataFrame = field(repr=False)  # the six studies, one model each
    ours: pd.DataFrame = field(repr=False)  # from our own records
    given: pd.DataFrame | None = field(repr=False)  # the reader's study; None: none was given
    origins: dict[str, str]  # our experiments that have records: the profile they are of
    files: dict[str, Path]  # what was read
    place: str  # folder name of records and figures

    @property
    def ways(self) -> list[str]:
        """The ways of weighing, the method's own first: what is recorded else is a technique."""
        return robustness.ways(self.rows["study"].unique())

    @property
    def rows(self) -> pd.DataFrame:
        """Every evidence model: of the six studies, ours and a given one."""
        parts = (self.six, self.ours, self.given)
        return pd.concat([p for p in parts if p is not None and len(p)], ignore_index=True)

    def inputs(self) -> dict[str, str]:
        """sha256 of what was read, for the provenance."""
        return {name: file_sha256(path) for name, path in self.files.items()}

    def settings(self) -> dict[str, str]:
        """What the parameters resolved to, for the provenance."""
        return {"profile": self.profile, **{f"{e}_of": p for e, p in self.origins.items()}}


def prepare(given: Parameters) -> Task:
    """Read and check all evidence; `given.studies` is the path of one more CSV of that form.

    QlabError before anything is written where something is not of the form, or where a given study
    has the name of one that is there already.
    """
    folder = home() / "data" / "evidence"
    files = {n: folder / f"{n}.csv" for n in ("six_studies", "six_studies_pooled")}
    six, pooled = (models.read(file) for file in files.values())
    ours, origins = own.weigh(given.profile)
    files |= {e: csv_path(e, p) for e, p in origins.items()}
    further = None
    if given.studies:
        files["given"] = Path(given.studies).expanduser()
        further = models.read(files["given"])
        if known := set(further["study"]) & {*six["study"], *own.EXPERIMENTS}:
            raise QlabError(
                f"{files['given'].name}, column 'study': '{sorted(known)[0]}' is the name of a "
                "study that is weighed already; give yours another name."
            )
    # By what is in the study, wherever it lies.
    studies = file_sha256(files["given"]) if further is not None else ""
    place = given.model_copy(update={"studies": studies}).place("evidence")
    return Task(given.profile, six, pooled, ours, further, origins, files, place)


def weigh(task: Task) -> list[Record]:
    """All syntheses: every body of evidence, every way of weighing it, every technique."""
    found = []
    for body, table in measure.bodies(task.six, task.ours, task.given).items():
        variants = robustness.variants(table, task.pooled)
        if body == measure.BOTH:
            variants |= _with_other_bases(task)
        done = {way: by_effect(rows) for way, rows in variants.items()} | by_technique(table)
        for variant, syntheses in done.items():
            found += measure.of_syntheses(body, variant, syntheses)
        found += measure.of_meta(body, meta.by_effect(table))
    return found


def _with_other_bases(task: Task) -> dict[str, pd.DataFrame]:
    """The six studies and ours, for each base belief that ours might have."""
    return {
        robustness.with_base(base): pd.concat(
            [task.six, own.rebased(task.ours, base)], ignore_index=True
        )
        for base in models.BASES
    }
