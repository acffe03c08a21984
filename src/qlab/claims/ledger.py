"""All claims judged, tier by tier: the ledger as a table and as records."""

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from statsmodels.stats.multitest import multipletests

from qlab.claims import claims
from qlab.claims.address import NotTested, subject
from qlab.claims.claims import EMBEDDED, TIERS, Claim, Scope
from qlab.claims.data import Evidence
from qlab.claims.verdicts import UNDECIDED, UNTESTED, Term, decide
from qlab.core import paths, provenance, records
from qlab.core.cache import file_sha256
from qlab.core.records import Record

EXPERIMENT = "claims"  # in the records
COLUMNS = [
    "id", "kind", "source", "place", "scope", "statement", "verdict", *TIERS, "tier", "figure",
    "value", "unit", "ci_low", "ci_high", "n", "p", "p_holm", "half", "twice", "smallest_effect",
    "reason", "experiment", "notebook", "records",
]  # fmt: skip
WIDTHS = {"half": 0.5, "twice": 2.0}  # of the bounds that each verdict is tried with
_FORMS = {"x": (1, ".2f"), "points": (100, "+.2f"), "share": (100, ".1f"), "r": (1, ".2f")}
_UNITS = {"x": " x", "points": " points", "share": " %"}


class Judged(NamedTuple):
    """A claim judged by one tier's models; one not tested has no term, and `reason` says why."""

    claim: Claim
    tier: str  # whose models judged it
    verdict: str  # one of VERDICTS
    reason: str  # what was wanted, or why it was not tested
    term: Term | None = None  # that the verdict hangs on
    p: float | None = None  # at which the verdict would turn; None for counted figures
    p_holm: float | None = None  # the same, of all measured claims of this source and tier
    half: str = ""  # the verdict with bounds half as wide; empty where nothing says how wide
    twice: str = ""  # and twice as wide
    file: Path | None = None  # the table that was read
    model: str = "none"  # whose records decided
    dataset: str = "none"  # on which
    clock: bool = False  # whether a clock had a part in what was read


class Ruling(NamedTuple):
    """A claim over all tiers: what the nearest tier of its scope says, or that none was tested."""

    claim: Claim
    scope: Scope  # of which models the source speaks
    verdict: str  # one of VERDICTS
    reason: str  # what was wanted, or why no tier of the scope was tested
    shown: Judged  # what decided; where nothing in scope did, the nearest of the other tiers
    tiers: dict[str, Judged]  # what each says


def judge(claim: Claim, evidence: Evidence, tier: str) -> Judged:
    """The verdict on one claim from what is recorded of a tier's models."""
    needs = f" Needs: {claim.needs}." if claim.needs else ""
    try:
        if claim.untested:
            raise NotTested(claim.untested)
        table, file = evidence.of(claim, tier)
        terms = claim.rule.terms(table)
        clock = any(t.clock for t in terms)
        if tier == EMBEDDED and any(t.timed for t in terms):
            raise NotTested("It rests on a clock, and times of the embedded models do not travel.")
        verdict, term, p = decide(terms, _quantifier(claim.rule))
        wider = {name: _scaled(claim.rule, table, by) for name, by in WIDTHS.items()}
    except NotTested as error:
        return Judged(claim, tier, UNTESTED, f"{error}{needs}")
    reason = f"Wanted {wanted(term)}: {term.name}.{needs}"
    about = _about(claim, evidence, tier)
    return Judged(claim, tier, verdict, reason, term, p, p, *wider.values(), file, *about, clock)


def _quantifier(rule) -> str:
    return getattr(rule, "quantifier", "all")


def _scaled(rule, table: pd.DataFrame, factor: float) -> str:
    """The verdict of a rule with bounds so many times as wide; empty where it has no width."""
    other = rule.scaled(factor)
    return "" if other == rule else decide(other.terms(table), _quantifier(rule)).verdict


def judge_all(evidence: Evidence, file: Path | None = None) -> list[Ruling]:
    """The rulings on all claims, in the file's order.

    Measured claims of one source and tier are a family: one whose p value does not stand Holm's
    allowance for their number is undecided.
    """
    told = claims.read(file)
    judged = [judge(claim, evidence, tier) for claim in told.claims for tier in TIERS]
    family = [
        (j.claim.source, j.tier) if j.claim.kind == "measured" and j.p is not None else None
        for j in judged
    ]
    for one in {f: 0 for f in family if f}:
        at = [i for i, other in enumerate(family) if other == one]
        adjusted = multipletests([judged[i].p for i in at], method="holm")[1]
        for i, p in zip(at, adjusted, strict=True):
            verdict = judged[i].verdict if p < 0.05 else UNDECIDED
            judged[i] = judged[i]._replace(p_holm=float(p), verdict=verdict)
    each = [judged[i : i + len(TIERS)] for i in range(0, len(judged), len(TIERS))]
    return [_ruling({j.tier: j for j in of}, told.scopes[of[0].claim.scope]) for of in each]


def _ruling(tiers: dict[str, Judged], scope: Scope) -> Ruling:
    tested = [t for t in reversed(TIERS) if tiers[t].verdict != UNTESTED]
    inside = [t for t in tested if t in scope.tiers]
    shown = tiers[(inside or tested or scope.tiers)[0]]
    decides = shown if inside else tiers[scope.tiers[0]]
    verdict = shown.verdict if inside else UNTESTED
    return Ruling(shown.claim, scope, verdict, decides.reason, shown, tiers)


def table(rulings: list[Ruling]) -> pd.DataFrame:
    """The ledger: a row per claim, with the columns of `COLUMNS`."""
    return pd.DataFrame([_row(one) for one in rulings], columns=COLUMNS).astype({"n": "Int64"})


def as_records(rulings: list[Ruling]) -> list[Record]:
    """One per claim and tier that judged it: variant its id, part the tier, metric the verdict,
    value the figure; of a claim that no tier judged, 0 record."""
    made = []
    for one in rulings:
        tested = [j for j in one.tiers.values() if j.term]
        for j in tested or [one.shown]:
            here = (EXPERIMENT, j.model, j.dataset, j.claim.id, j.verdict)
            if j.term is None:
                made.append(Record(*here, 0.0, "record"))
            else:
                value, low, high, n = j.term.estimate
                ends = (low, high) if low < high else (None, None)
                more = {"clock": j.clock, "part": j.tier}
                made.append(Record(*here, value, j.term.unit, *ends, n, **more))
    return made


def write(rulings: list[Ruling], evidence: Evidence, profile: str, started: float) -> Path:
    """Keep the records with the hashes of everything that was read; returns the csv's path."""
    read = [claims.path(), *evidence.used]
    inputs = {relative(file): file_sha256(file) for file in read}
    packages = ["pandas", "scipy", "statsmodels"]
    origin = provenance.collect({"profile": profile}, inputs, packages, started)
    return records.write(as_records(rulings), profile, origin)


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


def _row(one: Ruling) -> dict:
    claim, judged = one.claim, one.shown
    row = {
        "id": claim.id, "kind": claim.kind, "source": claim.source, "place": claim.place,
        "scope": one.scope.said, "statement": claim.statement, "verdict": one.verdict,
        **{tier: j.verdict for tier, j in one.tiers.items()},
        "tier": "", "figure": "", "reason": one.reason, "experiment": claim.experiment,
        "notebook": f"notebooks/{claims.NOTEBOOKS[claim.experiment]}.ipynb",
        "records": relative(judged.file) if judged.file else "",
    }  # fmt: skip
    if (term := judged.term) is None:
        return row
    value, low, high, n = term.estimate
    sure = {"ci_low": low, "ci_high": high} if low < high else {}
    row |= {"tier": judged.tier, "figure": written(term), "value": value, "n": n, "p": judged.p}
    row |= {"p_holm": judged.p_holm, "half": judged.half, "twice": judged.twice}
    return row | sure | {"smallest_effect": term.smallest_effect, "unit": term.unit}


def _about(claim: Claim, evidence: Evidence, tier: str) -> tuple[str, str]:
    """The model and the data set that judged the claim."""
    try:
        found, _ = evidence.records(claim, tier)
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
