"""All claims judged: the ledger as a table and as records."""

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from qlab.claims import claims
from qlab.claims.address import NotTested, subject
from qlab.claims.claims import Claim
from qlab.claims.data import Evidence
from qlab.claims.verdicts import UNTESTED, Term, decide
from qlab.core import paths, provenance, records
from qlab.core.cache import file_sha256
from qlab.core.records import Record

EXPERIMENT = "claims"  # in the records
COLUMNS = [
    "id", "source", "place", "statement", "verdict", "figure", "value", "unit", "ci_low", "ci_high",
    "n", "smallest_effect", "reason", "experiment", "notebook", "records",
]  # fmt: skip
_FORMS = {"x": (1, ".2f"), "points": (100, "+.2f"), "share": (100, ".1f"), "r": (1, ".2f")}
_UNITS = {"x": " x", "points": " points", "share": " %"}


class Judged(NamedTuple):
    """A claim with its verdict; one that was not tested has no term, and `reason` says why."""

    claim: Claim
    verdict: str
    reason: str
    term: Term | None = None
    file: Path | None = None  # the table that was read
    model: str = "none"  # whose records decided
    dataset: str = "none"  # on which
    clock: bool = False  # whether a clock had a part in what was read


def judge(claim: Claim, evidence: Evidence) -> Judged:
    """The verdict on one claim from what is recorded."""
    needs = f" Needs: {claim.needs}." if claim.needs else ""
    try:
        if claim.untested:
            raise NotTested(claim.untested)
        table, file = evidence.of(claim)
        terms = claim.rule.terms(table)
        verdict, term = decide(terms, getattr(claim.rule, "quantifier", "all"))
    except NotTested as error:
        return Judged(claim, UNTESTED, f"{error}{needs}")
    reason = f"Wanted {wanted(term)}: {term.name}.{needs}"
    clock = any(t.clock for t in terms)
    return Judged(claim, verdict, reason, term, file, *_about(claim, evidence), clock)


def judge_all(evidence: Evidence, file: Path | None = None) -> list[Judged]:
    """The verdicts on all claims, in the file's order."""
    return [judge(claim, evidence) for claim in claims.read(file)[1]]


def table(judged: list[Judged]) -> pd.DataFrame:
    """The ledger: a row per claim, with the columns of `COLUMNS`."""
    return pd.DataFrame([_row(j) for j in judged], columns=COLUMNS).astype({"n": "Int64"})


def as_records(judged: list[Judged]) -> list[Record]:
    """One per claim: variant its id, metric its verdict, value its figure; untested, 0 record."""
    made = []
    for j in judged:
        here = (EXPERIMENT, j.model, j.dataset, j.claim.id, j.verdict)
        if j.term is None:
            made.append(Record(*here, 0.0, "record"))
        else:
            value, low, high, n = j.term.estimate
            ends = (low, high) if low < high else (None, None)
            made.append(Record(*here, value, j.term.unit, *ends, n, clock=j.clock))
    return made


def write(judged: list[Judged], evidence: Evidence, profile: str, started: float) -> Path:
    """Keep the records with the hashes of everything that was read; returns the csv's path."""
    read = [claims.path(), *evidence.used]
    inputs = {relative(file): file_sha256(file) for file in read}
    packages = ["pandas", "scipy", "statsmodels"]
    origin = provenance.collect({"profile": profile}, inputs, packages, started)
    return records.write(as_records(judged), profile, origin)


def written(term: Term) -> str:
    """A term's figure as a short text, with its interval if it has one."""
    value, low, high, _ = term.estimate
    before, after = "r = " if term.form == "r" else "", _unit(term)
    interval = f" [{_number(term, low)}, {_number(term, high)}]" if low < high else ""
    return f"{before}{_number(term, value)}{after}{interval}"


def wanted(term: Term) -> str:
    """The range of a term in words."""
    low, high = (f"{scale(term) * v:.4g}" for v in (term.low, term.high))
    if math.isinf(term.high):
        return f"above {low}{_unit(term)}"
    return f"below {high}{_unit(term)}" if math.isinf(term.low) else f"{low} to {high}{_unit(term)}"


def _row(judged: Judged) -> dict:
    claim, term = judged.claim, judged.term
    row = {
        "id": claim.id, "source": claim.source, "place": claim.place,
        "statement": claim.statement, "verdict": judged.verdict, "reason": judged.reason,
        "experiment": claim.experiment, "figure": "",
        "notebook": f"notebooks/{claims.NOTEBOOKS[claim.experiment]}.ipynb",
        "records": relative(judged.file) if judged.file else "",
    }  # fmt: skip
    if term is None:
        return row
    value, low, high, n = term.estimate
    sure = {"ci_low": low, "ci_high": high} if low < high else {}
    effect = {"smallest_effect": term.smallest_effect, "unit": term.unit}
    return row | {"figure": written(term), "value": value, "n": n} | sure | effect


def _about(claim: Claim, evidence: Evidence) -> tuple[str, str]:
    """The model and the data set that judged the claim."""
    try:
        found, _ = evidence.records(claim)
    except NotTested:  # drawn numbers without their records
        return "none", "none"
    model = claim.rule.model or subject(found)[0]
    rows = found[found["model"] == model]
    return model, subject(found)[1] or rows["dataset"].iloc[0]


def _number(term: Term, value: float) -> str:
    return f"{scale(term) * value:{_FORMS.get(term.form, (1, '.3g'))[1]}}"


def scale(term: Term) -> int:
    """What a term's figure is multiplied with where it is written: 100 for shares and points."""
    return _FORMS.get(term.form, (1, ""))[0]


def _unit(term: Term) -> str:
    return _UNITS.get(term.form, "" if term.unit == "1" else f" {term.unit}")


def relative(file: Path) -> str:
    """A file's path from the project's folder, as records and ledger name it."""
    return file.relative_to(paths.home()).as_posix()
