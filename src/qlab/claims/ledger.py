"""Judge all claims, tier by tier: a table of verdicts, and the records made from it."""

import math

import pandas as pd
from statsmodels.stats.multitest import multipletests

from qlab.claims import claims
from qlab.claims.address import NotTested
from qlab.claims.claims import EMBEDDED, TIERS, Claim
from qlab.claims.data import Evidence
from qlab.claims.verdicts import UNDECIDED, UNTESTED, Term, decide
from qlab.core import paths
from qlab.core.records import Record

_FORMS = {  # of a figure: its factor, number format and unit
    "x": (1, ".2f", " x"), "points": (100, "+.2f", " points"), "share": (100, ".1f", " %"),
    "r": (1, ".2f", ""),
}  # fmt: skip
_NUMBERS = ("p", "value", "unit", "ci_low", "ci_high", "n", "smallest_effect", "term", "facts")
_NOTHING = dict.fromkeys(_NUMBERS) | dict.fromkeys(("figure", "records", "half", "twice"), "")


def judge(claim: Claim, evidence: Evidence, tier: str) -> dict:
    """What the records of a tier's models say about a claim, as a row of `judge_all`."""
    needs = f" Needs: {claim.needs}." if claim.needs else ""
    try:
        if claim.untested:
            raise NotTested(claim.untested)
        facts = evidence.of(claim, tier)
        terms = claim.rule.terms(facts.table, facts.items)
        if tier == EMBEDDED and any(t.clock and t.unit != "byte" for t in terms):  # byte: a meter
            raise NotTested("It rests on a clock, and times of the embedded models do not travel.")
    except NotTested as error:
        return _NOTHING | {"verdict": UNTESTED, "reason": f"{error}{needs}"}
    verdict, term, p = decide(terms, claim.rule.quantifier)
    found = _NOTHING | {"verdict": verdict, "term": term, "facts": facts, "p": p}
    for name, factor in (("half", 0.5), ("twice", 2.0)):
        if (other := claim.rule.scaled(terms, factor)) != terms:
            found[name] = decide(other, claim.rule.quantifier).verdict
    value, low, high, n = term.estimate
    sure = {"ci_low": low, "ci_high": high} if low < high else {}
    unit = "1" if term.form == "x" else term.unit
    found |= {"figure": written(term), "value": value, "unit": unit, "n": n, **sure}
    file = facts.file.relative_to(paths.home()).as_posix()
    found |= {"records": file, "smallest_effect": term.smallest_effect}
    return found | {"reason": f"Wanted {wanted(term)}: {term.name}.{needs}"}


def judge_all(evidence: Evidence) -> pd.DataFrame:
    """One row per claim and tier, indexed by `id` and `tier`, in the file's order.

    Besides the claim's own columns: the `claim`; whether the tier is `inside` its scope; `verdict`
    and `reason`; the `term` that decides the verdict and the `facts` that were read, None where it
    was not tested; the term's `figure`, as text and in numbers; the verdicts with bounds `half` and
    `twice` as wide; `p`, at which the verdict would turn; and `p_holm`, the same adjusted by Holm's
    method over the measured claims of one source and tier, those outside their scope apart. A claim
    of such a family whose `p_holm` is 0.05 or more is undecided.
    """
    told, rows = claims.read(), []
    for name, claim in told.claims.items():
        scope = told.scopes[claim.scope]
        about = claim.model_dump(include={"kind", "source", "place", "statement", "experiment"})
        about |= {"id": name, "claim": claim, "scope": scope.said}
        for tier in TIERS:
            here = {"tier": tier, "inside": tier in scope.tiers}
            rows.append(about | here | judge(claim, evidence, tier))
    table = pd.DataFrame(rows).set_index(["id", "tier"]).astype({"p": float})
    measured = table[(table["kind"] == "measured") & table["p"].notna()]
    family = measured.groupby(["source", "tier", "inside"])["p"]
    holm = family.transform(lambda p: multipletests(p, method="holm")[1]).reindex(table.index)
    verdict = table["verdict"].mask(holm >= 0.05, UNDECIDED)
    return table.assign(p_holm=holm.fillna(table["p"]), verdict=verdict)


def as_records(judged: pd.DataFrame) -> list[Record]:
    """One record per claim and tier that judged it: variant is the claim's id, part the tier,
    metric the verdict, value the figure. A claim that no tier judged has one with value 0."""
    tested = judged[judged["verdict"] != UNTESTED]
    made = [
        Record("claims", row.facts.model, row.facts.dataset, row.Index[0], row.verdict,
               row.value, row.unit, row.ci_low, row.ci_high, int(row.n), clock=row.term.clock,
               part=row.Index[1]) for row in tested.itertuples()
    ]  # fmt: skip
    none = judged.index.unique("id").difference(tested.index.unique("id"))
    return made + [Record("claims", "none", "none", i, UNTESTED, 0.0, "record") for i in none]


def written(term: Term) -> str:
    """A term's figure as a short text, with its interval if it has one."""
    by, digits, unit = form(term)
    value, low, high = (f"{by * v:{digits}}" for v in term.estimate[:3])
    interval = f" [{low}, {high}]" if term.estimate.low < term.estimate.high else ""
    return f"{'r = ' if term.form == 'r' else ''}{value}{unit}{interval}"


def wanted(term: Term) -> str:
    """The range wanted of a term, in words."""
    by, _, unit = form(term)
    low, high = (f"{by * v:.4g}" for v in (term.low, term.high))
    range_ = f"above {low}" if math.isinf(term.high) else f"{low} to {high}"
    return f"{f'below {high}' if math.isinf(term.low) else range_}{unit}"


def form(term: Term) -> tuple[int, str, str]:
    """How a term's figure is written: its factor (100 for shares and points), digits, unit."""
    return _FORMS.get(term.form, (1, ".3g", "" if term.unit == "1" else f" {term.unit}"))
