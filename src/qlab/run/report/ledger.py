"""The claims ledger, as the report shows it; notebook 05 judges, nothing is judged here."""

import pandas as pd

from qlab.core import paths
from qlab.core.errors import QlabError

FIGURE = "claims_ledger"  # `figures/<profile>/claims_ledger.csv`, written by notebook 05
COLUMNS = [
    "id", "source", "place", "statement", "verdict", "figure", "value", "unit", "ci_low", "ci_high",
    "n", "smallest_effect", "reason", "experiment", "notebook", "records",
]  # fmt: skip
# How a verdict is shown.
SIGNS = {"holds": "✓", "does not hold": "✗", "undecided": "?", "not tested": "–"}
ABSENT = (
    "The claims have not been judged in this profile yet: notebook 05 writes the ledger "
    "(make figures), and this page shows it when made again (make report)."
)


def read(profile: str) -> pd.DataFrame | None:
    """The ledger with its verdicts in words, in the file's order; None where there is none yet.

    QlabError: columns or verdicts that it does not know.
    """
    path = paths.figures(profile) / f"{FIGURE}.csv"
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    if absent := [c for c in COLUMNS if c not in table.columns]:
        raise QlabError(f"{path} lacks the columns {', '.join(absent)}; run notebook 05 again.")
    verdict = table["verdict"].str.replace("_", " ")
    if unknown := set(verdict) - set(SIGNS):
        raise QlabError(
            f"{path}: a verdict is one of {', '.join(SIGNS)}; found {', '.join(sorted(unknown))}."
        )
    return table.assign(verdict=verdict)


def counts(table: pd.DataFrame) -> str:
    """How many claims hold, do not hold, are undecided or not tested, as a sentence."""
    n = [int((table["verdict"] == verdict).sum()) for verdict in SIGNS]
    return (
        f"Of {len(table)} checkable claims of the four sources {n[0]} hold, {n[1]} do not, "
        f"{n[2]} are undecided and {n[3]} could not be tested here."
    )


def rows(table: pd.DataFrame) -> list[dict]:
    """Each claim as the page's template takes it: texts, and `order`, `sign` and `measured`."""
    return [
        row.fillna("").to_dict()
        | {
            "sign": SIGNS[row["verdict"]],
            "order": list(SIGNS).index(row["verdict"]),
            "measured": measured(row),
            "source": row["source"].replace("_", " "),
        }
        for _, row in table.iterrows()
    ]


def measured(row: pd.Series) -> str:
    """The figure, its items, and, of an undecided claim, the smallest effect to be seen."""
    if pd.isna(row["figure"]):
        return ""
    told = row["figure"]
    if pd.notna(row["n"]) and row["n"] > 1:
        told += f", n = {int(row['n']):,}"
    if pd.notna(row["smallest_effect"]) and row["verdict"] == "undecided":
        # The ledger's effects are shares where its figures are in points or percent.
        in_points = "points" in row["figure"] or "%" in row["figure"]
        least = (
            f"{100 * row['smallest_effect']:.2g} points"
            if in_points
            else (f"{row['smallest_effect']:.2g}")
        )
        told += f"; smallest effect to be seen: {least}"
    return told
