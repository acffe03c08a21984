"""All claims judged, tier by tier: the ledger as a table and as records."""

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from statsmodels.stats.multitest import multipletests

from qlab.claims import claims
from qlab.claims.address import NotTested
from qlab.claims.claims import EMBEDDED, TIERS, Claim, Scope
from qlab.claims.data import Evidence, Facts
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
_FORMS = {  # of a figure: its factor, how it is written, its unit
    "x": (1, ".2f", " x"), "points": (100, "+.2f", " points"), "share": (100, ".1f", " %"),
    "r": (1, ".2f", ""),
}  # fmt: skip


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
    facts: Facts | None = None  # that were read


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
        facts = evidence.of(claim, tier)
        terms = claim.rule.terms(facts.table, facts.items)
        if tier == EMBEDDED and any(t.timed for t in terms):
            raise NotTested("It rests on a clock, and times of the embedded models do not travel.")
    except NotTested as error:
        return Judged(claim, tier, UNTESTED, f"{error}{needs}")
    verdict, term, p = decide(terms, claim.rule.quantifier)
    wider = []
    for factor in (0.5, 2.0):
        other = claim.rule.scaled(factor)
        again = [] if other == claim.rule else other.terms(facts.table, facts.items)
        wider.append(decide(again, other.quantifier).verdict if again else "")
    reason = f"Wanted {wanted(term)}: {term.name}.{needs}"
    return Judged(claim, tier, verdict, reason, term, p, p, *wider, facts)


def judge_all(evidence: Evidence, file: Path | None = None) -> list[Ruling]:
    """The rulings on all claims, in the file's order.

    Measured claims of one source and tier are a family: one whose p value does not stand Holm's
    allowance for their number is undecided.
    """
    told = claims.read(file)
    judged = [judge(claim, evidence, tier) for claim in told.claims for tier in TIERS]
    families: dict[tuple, list[int]] = {}
    for i, j in enumerate(judged):
        if j.claim.kind == "measured" and j.p is not None:
            families.setdefault((j.claim.source, j.tier), []).append(i)
    for at in families.values():
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


def _row(one: Ruling) -> dict:
    claim, judged, term = one.claim, one.shown, one.shown.term
    row = claim.model_dump(include={"id", "kind", "source", "place", "statement", "experiment"})
    row |= {"scope": one.scope.said, "verdict": one.verdict, "reason": one.reason}
    row |= {tier: j.verdict for tier, j in one.tiers.items()}
    row |= {"notebook": f"notebooks/{claims.NOTEBOOKS[claim.experiment]}.ipynb"}
    if term is None:
        return row | {"tier": "", "figure": "", "records": ""}
    value, low, high, n = term.estimate
    sure = {"ci_low": low, "ci_high": high} if low < high else {}
    row |= {"tier": judged.tier, "figure": written(term), "value": value, "n": n, **sure}
    row |= {name: getattr(judged, name) for name in ("p", "p_holm", "half", "twice")}
    row |= {"smallest_effect": term.smallest_effect, "unit": term.unit}
    return row | {"records": relative(judged.facts.file)}


def as_records(rulings: list[Ruling]) -> list[Record]:
    """One per claim and tier that judged it: variant its id, part the tier, metric the verdict,
    value the figure; of a claim that no tier judged, 0 record."""
    made = []
    for one in rulings:
        tested = [j for j in one.tiers.values() if j.term]
        if not tested:
            told = ("none", "none", one.claim.id, UNTESTED, 0.0, "record")
            made.append(Record(EXPERIMENT, *told))
        for j in tested:
            here = (EXPERIMENT, j.facts.model, j.facts.dataset, j.claim.id, j.verdict)
            value, low, high, n = j.term.estimate
            ends = (low, high) if low < high else (None, None)
            more = {"clock": j.term.clock, "part": j.tier}
            made.append(Record(*here, value, j.term.unit, *ends, n, **more))
    return made


def write(rulings: list[Ruling], evidence: Evidence, profile: str, started: float) -> Path:
    """Keep the records with the hashes of everything that was read; returns the csv's path."""
    inputs = {relative(file): file_sha256(file) for file in (claims.path(), *evidence.used)}
    packages = ["pandas", "scipy", "statsmodels"]
    origin = provenance.collect({"profile": profile}, inputs, packages, started)
    return records.write(as_records(rulings), profile, origin)


def written(term: Term) -> str:
    """A term's figure as a short text, with its interval if it has one."""
    _, form, unit = _form(term)
    value, low, high = (f"{scale(term) * v:{form}}" for v in term.estimate[:3])
    interval = f" [{low}, {high}]" if term.estimate.low < term.estimate.high else ""
    return f"{'r = ' if term.form == 'r' else ''}{value}{unit}{interval}"


def wanted(term: Term) -> str:
    """The range of a term in words."""
    low, high = (f"{scale(term) * v:.4g}" for v in (term.low, term.high))
    range_ = f"above {low}" if math.isinf(term.high) else f"{low} to {high}"
    return f"{f'below {high}' if math.isinf(term.low) else range_}{_form(term)[2]}"


def scale(term: Term) -> int:
    """What a term's figure is multiplied with where it is written: 100 for shares and points."""
    return _form(term)[0]


def _form(term: Term) -> tuple[int, str, str]:
    return _FORMS.get(term.form, (1, ".3g", "" if term.unit == "1" else f" {term.unit}"))


def relative(file: Path) -> str:
    """A file's path from the project's folder, as records and ledger name it."""
    return file.relative_to(paths.home()).as_posix()
