"""The figures of notebook 05: claims with their verdicts, and variants to choose among."""

import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from qlab.claims import chooser
from qlab.claims import ledger as claims_ledger
from qlab.claims.chooser import KINDS, POINTS, Choice
from qlab.claims.claims import Source
from qlab.claims.ledger import Judged
from qlab.claims.verdicts import HOLDS, NOT, UNDECIDED, UNTESTED, VERDICTS
from qlab.core import live, plot

STYLE = {  # verdict: colour, marker, label
    HOLDS: (plot.PALETTE[4], "o", "holds"),
    NOT: (plot.PALETTE[3], "X", "does not hold"),
    UNDECIDED: (plot.PALETTE[6], "D", "undecided"),
    UNTESTED: (plot.PALETTE[7], "s", "not tested here"),
}
LOOK = {  # standing: colour, marker
    "unbeaten": (plot.PALETTE[1], "o"),
    "beaten": (plot.PALETTE[6], "^"),
    "surely beaten": (plot.PALETTE[7], "X"),
}
# What a choice can weigh: words for its axis.
COSTS = {"share": "file, share of float's bytes", "time": "time, as a multiple of float's"}
_WIDE = 20  # points: axes beyond are compressed below -5
_LINE = 0.215  # inches
_COLUMNS = {"": 0.0, "statement": 0.02, "found [95 % interval]": 0.64, "the claim wants": 0.85}


def ledger(judged: list[Judged], sources: dict[str, Source], profile: str) -> None:
    """Every claim in a line, grouped by source: verdict by colour and symbol, figure and bound."""
    lines: list[str | Judged] = []  # a heading for each source, an empty line between sources
    for name, source in sources.items():
        if rows := [j for j in judged if j.claim.source == name]:
            title = textwrap.shorten(f"{source.name}: {source.title}", 130, placeholder=" ...")
            lines += ([""] if lines else []) + [title, *rows]
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
        marks = [
            plt.Line2D([], [], color=colour, marker=marker, ls="", ms=8, label=label,
                   mfc="white" if verdict == UNTESTED else colour)
            for verdict, (colour, marker, label) in STYLE.items()
        ]  # fmt: skip
        canvas.legend(handles=marks, loc="outside upper left", ncols=4, frameon=False)


def _claim(axis, at: int, judged: Judged) -> None:
    colour, marker, _ = STYLE[judged.verdict]
    mark, words, figure, bound = _COLUMNS.values()
    filled = "white" if judged.verdict == UNTESTED else colour
    axis.plot(mark, at, marker=marker, color=colour, mfc=filled, ms=6.5, ls="")
    axis.text(words, at, judged.claim.statement, va="center", fontsize=8)
    if judged.term:
        axis.text(figure, at, claims_ledger.written(judged.term), va="center", fontsize=8)
        axis.text(bound, at, claims_ledger.wanted(judged.term), va="center", fontsize=8)


def tally(table: pd.DataFrame) -> pd.DataFrame:
    """Number of claims by source (rows) and verdict (columns, all four)."""
    found = pd.crosstab(table["source"], table["verdict"])
    return found.reindex(columns=list(VERDICTS), fill_value=0)


def front(axis, table: pd.DataFrame, cost: str) -> None:
    """Variants with intervals, coloured by standing; the line joins the front."""
    standing = chooser.standing(table, cost)
    for name, (colour, marker) in LOOK.items():
        rows = table[standing == name].sort_values(cost)
        points = rows[["quality", "quality_low", "quality_high"]].to_numpy().T * POINTS
        error = [points[0] - points[1], points[2] - points[0]]
        wide = [rows["time"] - rows["time_low"], rows["time_high"] - rows["time"]]
        axis.errorbar(rows[cost], points[0], yerr=error, xerr=wide if cost == "time" else None,
                      fmt=marker, ms=6, color=colour, alpha=0.85, elinewidth=0.8)  # fmt: skip
        if name == "unbeaten":
            axis.plot(rows[cost], points[0], color=colour, lw=1, alpha=0.5, zorder=0)
    if table["quality_low"].min() * POINTS < -_WIDE:
        axis.set_yscale("symlog", linthresh=5, linscale=1)
        axis.set_yticks([-50, -20, -5, -2, 0])
        axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.minorticks_off()
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    ticks = [0.5, 1, 2, 5, 20] if high / low > 8 else [0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1, 2, 3, 5]
    axis.set_xticks([t for t in ticks if low <= t <= high])
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(StrMethodFormatter(""))


def label(axis, name: str) -> str:
    """Of the axis of quality, for a kind of model."""
    more = ", log below -5" if axis.get_yscale() == "symlog" else ""
    return f"{KINDS[name].score} minus float's\n(points{more})"


def standings_legend(canvas: Figure) -> None:
    """What colours and markers of `front` stand for."""
    looks = LOOK.items()
    marks = [plt.Line2D([], [], color=c, marker=m, ls="", label=name) for name, (c, m) in looks]
    canvas.legend(handles=marks, loc="outside lower center", ncols=3, frameon=False)


def picture(choice: Choice) -> Figure:
    """Quality against size and time of all variants, the bounds, and the one taken as a ring."""
    plot.use_style()
    canvas, axes = plt.subplots(ncols=2, figsize=(8.4, 3.6), sharey=True)
    for axis, (cost, words) in zip(axes, COSTS.items(), strict=True):
        front(axis, choice.table, cost)
        axis.axhline(-choice.max_loss * POINTS, color="black", ls="--", lw=1)
        if choice.taken is not None and pd.notna(choice.taken[cost]):
            axis.plot(choice.taken[cost], choice.taken["quality"] * POINTS, "o", ms=14, mfc="none",
                      mec=plot.PALETTE[3], mew=2)  # fmt: skip
        axis.set_xlabel(words)
    axes[0].axvline(choice.max_share, color="black", ls="--", lw=1)
    axes[0].set_ylabel(label(axes[0], choice.kind.name))
    standings_legend(canvas)
    return canvas


def sliders(tables: Mapping[str, pd.DataFrame]):
    """A box (`live.follow`) of kind, share (percent), loss (points) and preference."""

    def show(kind: str, share: float, loss: float, prefer: str) -> tuple[str, Figure]:
        found = chooser.choose(KINDS[kind], tables[kind], share / 100, loss / 100, prefer)
        return chooser.sentence(found), picture(found)

    controls = [
        live.choice(list(tables), "model"),
        live.slider(30.0, 10, 100, 1, "% of float's bytes at most"),
        live.slider(5.0, 0, 20, 0.25, "points lost at most"),
        live.choice(["quality", "size", "time"], "then best"),
    ]
    return live.follow(show, controls)
