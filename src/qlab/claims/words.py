"""What notebook 05 says in words and tables, from the ledger."""

from typing import Any

import pandas as pd

from qlab.claims import ledger as claims_ledger
from qlab.claims.data import COMMITTED, Evidence
from qlab.claims.ledger import Judged
from qlab.claims.plots import STYLE, tally
from qlab.claims.verdicts import HOLDS, NOT, UNDECIDED, UNTESTED, VERDICTS, Term
from qlab.core.errors import QlabError


def source_of_numbers(evidence: Evidence) -> str:
    """Which files judge, and that they may be another profile's."""
    read = sorted({claims_ledger.relative(file) for file in evidence.used})
    asked = evidence.profile
    foreign = [f for f in read if f"/{asked}/" not in f and f"/{asked}-long/" not in f]
    if foreign and asked != COMMITTED:
        note = f"; of these, not of profile {asked}: {', '.join(foreign)}"
    else:
        note = ""
    return f"read: {', '.join(read)}{note}"


def anatomy(judged: list[Judged], name: str) -> pd.DataFrame:
    """One claim taken apart: what the source says, what is asked of the records, what they say."""
    one = _named(judged, name)
    rule = one.claim.rule
    parts: dict[str, Any] = {
        "statement": one.claim.statement,
        "source, place": f"{one.claim.source}, {one.claim.place}",
        "experiment, profile": f"{one.claim.experiment}, {one.claim.profile}",
        **{f"rule: {key}": value for key, value in (rule.told() if rule else {}).items()},
        "read from": claims_ledger.relative(one.file) if one.file else "nothing",
        "hangs on": one.term.name if one.term else "nothing",
        "figure": claims_ledger.written(one.term) if one.term else "",
        "verdict": STYLE[one.verdict][2],
    }
    return pd.Series(parts, name=name).to_frame()


def _named(judged: list[Judged], name: str) -> Judged:
    for one in judged:
        if one.claim.id == name:
            return one
    raise QlabError(f"There is no claim '{name}' in data/claims.yaml.")


def of_source(ledger: pd.DataFrame, source: str) -> pd.DataFrame:
    """The claims of a source with their verdicts, figures and the smallest effect to be seen."""
    rows = ledger[ledger["source"] == source]
    seen = rows["smallest_effect"].map(lambda v: "" if pd.isna(v) else f"{v:.2g}")
    shown = {
        "statement": rows["statement"],
        "read as": rows["place"],
        "verdict": rows["verdict"].map(lambda v: STYLE[v][2]),
        "figure": rows["figure"],
        "n": rows["n"].map(lambda n: "" if pd.isna(n) else f"{n:,}"),
        "could be seen": seen.where(rows["verdict"] == UNDECIDED, ""),
    }
    return pd.DataFrame(shown).set_axis(rows["id"])


def distance(term: Term) -> float:
    """How far outside of its range a figure lies, from 0 to 1, so that unlike figures compare.

    Shares, their differences and correlations by themselves (the largest possible is 1); all other
    figures relative to the bound, |figure - bound| / (|figure| + |bound|).
    """
    value = term.estimate.value
    bound = min((b for b in (term.low, term.high) if abs(b) < float("inf")),
                key=lambda b: abs(value - b))  # fmt: skip
    if term.form in ("points", "share", "r"):
        return abs(value - bound)
    return abs(value - bound) / (abs(value) + abs(bound))


def surprising(judged: list[Judged], most: int = 5) -> list[str]:
    """The claims that do not hold with the largest distance from their bound, a sentence each."""
    against = [j for j in judged if j.verdict == NOT]
    against.sort(key=lambda j: (-distance(j.term), j.claim.id))
    return [
        f"{j.claim.statement} ({j.claim.source}; {j.claim.place})\n"
        f"    Found {claims_ledger.written(j.term)}, n = {j.term.estimate.n:,}; "
        f"{j.reason[0].lower()}{j.reason[1:]}"
        for j in against[:most]
    ]


def untested(ledger: pd.DataFrame, most: int = 3) -> pd.DataFrame:
    """Why claims were not judged, what it would take, and which they are (so many of each)."""
    rows = ledger[ledger["verdict"] == UNTESTED]
    told = []
    for reason, same in rows.groupby("reason", sort=False)["statement"]:
        more = f" (and {len(same) - most} more)" if len(same) > most else ""
        told.append((len(same), reason, " ".join(same[:most]) + more))
    return pd.DataFrame(told, columns=["claims", "why", "statements"])


def counts(ledger: pd.DataFrame) -> pd.DataFrame:
    """Number of claims by source and verdict, with sums."""
    table = tally(ledger).rename(columns={v: STYLE[v][2] for v in VERDICTS})
    table["all"] = table.sum(axis=1)
    table.loc["all sources"] = table.sum()
    return table.rename_axis(index=None, columns=None)


def findings(ledger: pd.DataFrame) -> list[str]:
    """What the ledger comes to, a sentence each."""
    n = ledger["verdict"].value_counts().reindex(list(VERDICTS), fill_value=0)
    tested = len(ledger) - n[UNTESTED]
    told = [
        f"Of {len(ledger)} statements {tested} could be judged here: {n[HOLDS]} hold, {n[NOT]} do "
        f"not, {n[UNDECIDED]} stay undecided.",
    ]
    for source, row in tally(ledger).iterrows():
        judged = row.drop(UNTESTED).sum()
        of = f"{row[HOLDS]} of {judged} judged hold" if judged else "none could be judged"
        told.append(f"{source}: {of}, {row[NOT]} do not.")
    return told
