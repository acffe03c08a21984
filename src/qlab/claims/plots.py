"""The figures of notebook 05: every claim with its verdict, and how many there are of each."""

import textwrap

import pandas as pd

from qlab.claims import ledger as claims_ledger
from qlab.claims.claims import Source
from qlab.claims.ledger import Judged
from qlab.claims.verdicts import HOLDS, NOT, UNDECIDED, UNTESTED, VERDICTS
from qlab.core import plot

STYLE = {  # verdict: colour, marker, label
    HOLDS: (plot.PALETTE[4], "o", "holds"),
    NOT: (plot.PALETTE[3], "X", "does not hold"),
    UNDECIDED: (plot.PALETTE[6], "D", "undecided"),
    UNTESTED: (plot.PALETTE[7], "s", "not tested here"),
}
_LINE = 0.215  # inches
_COLUMNS = {"": 0.0, "statement": 0.02, "found [95 % interval]": 0.64, "the claim wants": 0.85}


def ledger(judged: list[Judged], sources: dict[str, Source], profile: str) -> None:
    """Every claim in a line, grouped by source: verdict by colour and symbol, figure and bound."""
    lines = _lines(judged, sources)
    layout = {"figsize": (10.6, _LINE * len(lines) + 0.9)}
    drawn = claims_ledger.table(judged)
    with plot.figure("claims_ledger", profile, drawn, **layout) as (canvas, axis):
        axis.set(xlim=(-0.01, 1), ylim=(len(lines) - 0.3, -0.7))
        axis.axis("off")
        for at, line in enumerate(lines):
            if isinstance(line, str):
                axis.text(0, at, line, va="center", fontsize=9.5, fontweight="bold")
            else:
                _claim(axis, at, line)
        for heading, x in _COLUMNS.items():
            axis.text(x, -0.9, heading, va="bottom", fontsize=8.5, color="#555555")
        canvas.legend(handles=_handles(), loc="outside upper left", ncols=4, frameon=False)


def _lines(judged: list[Judged], sources: dict[str, Source]) -> list[str | Judged]:
    """A heading for each source and its claims below, an empty line between sources."""
    lines: list[str | Judged] = []
    for name, source in sources.items():
        rows = [j for j in judged if j.claim.source == name]
        if rows:
            title = textwrap.shorten(f"{source.name}: {source.title}", 130, placeholder=" ...")
            lines += ([""] if lines else []) + [title, *rows]
    return lines


def _claim(axis, at: int, judged: Judged) -> None:
    colour, marker, _ = STYLE[judged.verdict]
    mark, words, figure, bound = _COLUMNS.values()
    filled = "white" if judged.verdict == UNTESTED else colour
    axis.plot(mark, at, marker=marker, color=colour, mfc=filled, ms=6.5, ls="")
    axis.text(words, at, judged.claim.statement, va="center", fontsize=8)
    if judged.term:
        axis.text(figure, at, claims_ledger.written(judged.term), va="center", fontsize=8)
        axis.text(bound, at, claims_ledger.wanted(judged.term), va="center", fontsize=8)


def _handles() -> list:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=colour, marker=marker, ls="", ms=8, label=label,
               mfc="white" if verdict == UNTESTED else colour)
        for verdict, (colour, marker, label) in STYLE.items()
    ]  # fmt: skip


def counts(table: pd.DataFrame, sources: dict[str, Source], profile: str) -> None:
    """How many claims of each source hold, do not, are undecided, or were not tested."""
    drawn = tally(table).reindex([s for s in sources if s in set(table["source"])])
    with plot.figure("claims_counts", profile, drawn.reset_index(), figsize=(8.6, 3.2)) as (
        canvas,
        axis,
    ):
        left = pd.Series(0, index=drawn.index)
        places = range(len(drawn))
        hatches = {HOLDS: "", NOT: "xxx", UNDECIDED: "...", UNTESTED: "///"}
        for verdict in VERDICTS:
            colour, _, label = STYLE[verdict]
            bars = axis.barh(places, drawn[verdict], left=left, color=colour, edgecolor="white",
                             hatch=hatches[verdict], label=label)  # fmt: skip
            told = [str(n) if n else "" for n in drawn[verdict]]
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
            for text in axis.bar_label(bars, told, label_type="center", fontsize=9):
                text.set_bbox(box if text.get_text() else None)
            left = left + drawn[verdict]
        axis.set_yticks(places, [sources[s].name for s in drawn.index])
        axis.invert_yaxis()
        axis.set_xlabel("claims")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(axis="y", visible=False)
        canvas.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4,
                      frameon=False)  # fmt: skip


def tally(table: pd.DataFrame) -> pd.DataFrame:
    """Number of claims by source (rows) and verdict (columns, all four)."""
    found = pd.crosstab(table["source"], table["verdict"])
    return found.reindex(columns=list(VERDICTS), fill_value=0)
