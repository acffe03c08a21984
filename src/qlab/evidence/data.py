"""What notebook 04 weighs: the six studies, our own experiments, and a study that is given."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.core.paths import home
from qlab.core.place import place
from qlab.core.records import Record, csv_path
from qlab.evidence import measure, meta, models, own, robustness
from qlab.evidence.synthesis import by_effect, by_technique


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

    def inputs(self) -> dict[str, str]:
        """sha256 of what was read, for the provenance."""
        return {name: file_sha256(path) for name, path in self.files.items()}

    def settings(self) -> dict[str, str]:
        """What the parameters resolved to, for the provenance."""
        return {"profile": self.profile, **{f"{e}_of": p for e, p in self.origins.items()}}


def prepare(profile: str, studies: str = "") -> Task:
    """Read and check all evidence; `studies` is the path of one more CSV of the documented form.

    QlabError before anything is written where something is not of the form, or where a given study
    has the name of one that is there already.
    """
    six, pooled = models.six_studies(), models.six_studies_pooled()
    ours, origins = own.weigh(profile)
    folder = home() / "data" / "evidence"
    files = {n: folder / f"{n}.csv" for n in ("six_studies", "six_studies_pooled")}
    files |= {e: csv_path(e, p) for e, p in origins.items()}
    given, chosen = None, {}
    if studies:
        files["given"] = Path(studies).expanduser()
        given = models.read(files["given"])
        if known := set(given["study"]) & {*six["study"], *own.EXPERIMENTS}:
            raise QlabError(
                f"{files['given'].name}, column 'study': '{sorted(known)[0]}' is the name of a "
                "study that is weighed already; give yours another name."
            )
        chosen = {"studies": file_sha256(files["given"])}
    where = place(profile, "evidence", chosen, {})
    return Task(profile, six, pooled, ours, given, origins, files, where)


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
        f"{robustness.OUR_BASE}{100 * base:.0f}": pd.concat(
            [task.six, own.rebased(task.ours, base)], ignore_index=True
        )
        for base in models.BASES
    }
