"""All claims judged, tier by tier: a table of verdicts, the ledger and the records."""

import math
from pathlib import Path

import pandas as pd
from statsmodels.stats.multitest import multipletests

from qlab.claims import claims
from qlab.claims.address import NotTested
from qlab.claims.claims import EMBEDDED, TIERS, Claim
from qlab.claims.data import Evidence
from qlab.claims.verdicts import UNDECIDED, UNTESTED, Term, decide
from qlab.core import paths
from qlab.core.records import Record

EXPERIMENT = "claims"  # in the records
COLUMNS = [  # of the ledger
    "id", "kind", "source", "place", "scope", "statement", "verdict", *TIERS, "tier", "figure",
    "value", "unit", "ci_low", "ci_high", "n", "p", "p_holm", "half", "twice", "smallest_effect",
    "reason", "experiment", "notebook", "records",
]  # fmt: skip
_FORMS = {  # of a figure: its factor, how it is written, its unit
    "x": (1, ".2f", " x"), "points": (100, "+.2f", " points"), "share": (100, ".1f", " %"),
    "r": (1, ".2f", ""),
}  # fmt: skip
_NUMBERS = ("p", "value", "unit", "ci_low", "ci_high", "n", "smallest_effect", "term", "facts")
_NOTHING = dict.fromkeys(_NUMBERS) | dict.fromkeys(("figure", "records", "half", "twice"), "")


def judge(claim: Claim, evidence: Evidence, tier: str) -> dict:
    """What is recorded of a tier's models says of a claim, as a row of `judge_all`."""
    needs = f" Needs: {claim.needs}." if claim.needs else ""
    try:
        if claim.untested:
            raise NotTested(claim.untested)
        facts = evidence.of(claim, tier)
        terms = claim.rule.terms(facts.table, facts.items)
        if tier == EMBEDDED and any(t.timed for t in terms):
            raise NotTested("It rests on a clock, and times of the embedded models do not travel.")
    except NotTested as error:
        return _NOTHING | {"verdict": UNTESTED, "reason": f"{error}{needs}"}
    verdict, term, p = decide(terms, claim.rule.quantifier)
    found = _NOTHING | {"verdict": verdict, "term": term, "facts": facts, "p": p}
    for name, factor in (("half", 0.5), ("twice", 2.0)):
        other = claim.rule.scaled(factor)
        if other != claim.rule:
            again = other.terms(facts.table, facts.items)
            found[name] = decide(again, other.quantifier).verdict
    value, low, high, n = term.estimate
    sure = {"ci_low": low, "ci_high": high} if low < high else {}
    found |= {"figure": written(term), "value": value, "unit": term.unit, "n": n, **sure}
    found |= {"smallest_effect": term.smallest_effect, "records": relative(facts.file)}
    return found | {"reason": f"Wanted {wanted(term)}: {term.name}.{needs}"}


def judge_all(evidence: Evidence, file: Path | None = None) -> pd.DataFrame:
    """A row a claim and tier, by `id` and `tier`, in the file's order.

    The columns of the ledger, and: the `claim`; whether the tier is `inside` of its scope; the
    `term` that the verdict hangs on and the `facts` that were read, None where it was not tested;
    `p`, at which it would turn, and `p_holm`, the same of all measured claims of a source and tier:
    they are a family, and one that does not stand Holm's allowance is undecided.
    """
    told, rows = claims.read(file), []
    for claim in told.claims:
        scope, about = told.scopes[claim.scope], claim.model_dump(exclude={"rule"})
        about |= {"claim": claim, "scope": scope.said}
        about |= {"notebook": f"notebooks/{claims.NOTEBOOKS[claim.experiment]}.ipynb"}
        for tier in TIERS:
            here = {"tier": tier, "inside": tier in scope.tiers}
            rows.append(about | here | judge(claim, evidence, tier))
    table = pd.DataFrame(rows).set_index(["id", "tier"]).astype({"p": float})
    measured = table[(table["kind"] == "measured") & table["p"].notna()]
    family = measured.groupby(["source", "tier"])["p"]
    holm = family.transform(lambda p: multipletests(p, method="holm")[1]).reindex(table.index)
    verdict = table["verdict"].mask(holm >= 0.05, UNDECIDED)
    return table.assign(p_holm=holm.fillna(table["p"]), verdict=verdict)


def table(judged: pd.DataFrame) -> pd.DataFrame:
    """The ledger: a row per claim, with the columns of `COLUMNS`.

    The nearest tier of its scope decides, and is shown; where none of these was tested, the nearest
    of the others is shown, and decides nothing.
    """
    rows = []
    for name, of in judged.groupby(level="id", sort=False):
        tiers = of.droplevel("id").iloc[::-1]  # the nearest first
        tested = tiers[tiers["verdict"] != UNTESTED]
        inside, first = tested[tested["inside"]], tiers[tiers["inside"]].iloc[[-1]]
        shown = next(some.iloc[0] for some in (inside, tested, first) if len(some))
        decides = (inside if len(inside) else first).iloc[0]
        row = {"id": name, "tier": shown.name if shown["term"] else "", **tiers["verdict"]}
        rows.append(dict(shown) | row | dict(decides[["verdict", "reason"]]))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})


def as_records(judged: pd.DataFrame) -> list[Record]:
    """One per claim and tier that judged it: variant its id, part the tier, metric the verdict,
    value the figure; of a claim that no tier judged, 0 record."""
    tested = judged[judged["verdict"] != UNTESTED]
    made = [
        Record(EXPERIMENT, row.facts.model, row.facts.dataset, row.Index[0], row.verdict,
               row.value, row.unit, row.ci_low, row.ci_high, int(row.n), clock=row.term.clock,
               part=row.Index[1]) for row in tested.itertuples()
    ]  # fmt: skip
    none = judged.index.unique("id").difference(tested.index.unique("id"))
    return made + [Record(EXPERIMENT, "none", "none", i, UNTESTED, 0.0, "record") for i in none]


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
