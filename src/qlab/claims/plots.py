"""The figures of notebook 05: claims with their verdicts, and variants to choose among."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter

from qlab.claims import chooser
from qlab.claims.chooser import KINDS, POINTS, Choice
from qlab.claims.ledger import Ruling, scale, table
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
TIER = {  # tier: colour, marker
    "mini": (plot.PALETTE[7], "o"),
    "small": (plot.PALETTE[1], "s"),
    "full": (plot.PALETTE[3], "D"),
}
WHOSE = {"mini": "embedded models", "small": "published models", "full": "the sources' own"}
PANELS = {  # form of a figure: its axis
    "points": "points, log scale beyond 5",
    "x": "ratio, log scale",
    "share": "% of wrong answers",
    "r": "rank correlation",
}
ENDS = {"share": (0, 100), "r": (-1, 1)}


def ledger(rulings: list[Ruling], profile: str) -> None:
    """Each measured claim's figure by tier, its 95 % interval, and the range that it wants."""
    drawn = [one for one in rulings if one.claim.kind == "measured" and one.shown.term]
    panels = {form: [r for r in drawn if r.shown.term.form == form] for form in PANELS}
    panels = {form: rows for form, rows in panels.items() if rows}
    heights = [len(rows) + 2.2 for rows in panels.values()]
    layout = {"figsize": (9.6, 0.235 * sum(heights) + 0.6), "nrows": len(panels)}
    layout |= {"height_ratios": heights, "squeeze": False}
    with plot.figure("claims_ledger", profile, table(rulings), **layout) as (canvas, axes):
        for axis, (form, rows) in zip(axes[:, 0], panels.items(), strict=True):
            _estimates(axis, form, rows)
        used = {tier for one in drawn for tier, j in one.tiers.items() if j.term}
        marks = [
            plt.Line2D([], [], color=colour, marker=marker, ls="", label=f"{tier}: {WHOSE[tier]}")
            for tier, (colour, marker) in TIER.items() if tier in used
        ]  # fmt: skip
        marks.append(Patch(color=plot.PALETTE[4], alpha=0.25, label="what the claim wants"))
        canvas.legend(handles=marks, loc="outside upper center", ncols=4, frameon=False)


def _estimates(axis, form: str, rows: list[Ruling]) -> None:
    """A line for each claim, a marker for each tier that judged it."""
    ends = [
        scale(j.term) * v
        for one in rows for j in one.tiers.values() if j.term for v in j.term.estimate[:3]
    ]  # fmt: skip
    if form == "x":
        axis.set_xscale("log")
        left, right = min(0.5, *(e for e in ends if e > 0.01)) / 1.2, max(2.0, *ends) * 1.2
        axis.xaxis.set_major_formatter("{x:g}")
    else:
        left, right = ENDS.get(form, (1.2 * min(ends), 1.2 * max(ends)))
    if form == "points":
        axis.set_xscale("symlog", linthresh=5, linscale=2)
        axis.set_xticks([-50, -20, -5, -2, 0, 2, 5, 20, 50])
        axis.xaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
    for at, one in enumerate(rows):
        term = one.shown.term
        low, high = (min(max(scale(term) * b, left), right) for b in (term.low, term.high))
        axis.barh(at, high - low, left=low, height=0.8, color=plot.PALETTE[4], alpha=0.25, lw=0)
        tested = [j for j in one.tiers.values() if j.term]
        for i, j in enumerate(tested):
            value, low, high = (scale(j.term) * v for v in j.term.estimate[:3])
            colour, marker = TIER[j.tier]
            y = at + 0.36 * (i - (len(tested) - 1) / 2)
            error = [[max(value - low, 0)], [max(high - value, 0)]]
            axis.errorbar(value, y, xerr=error, color=colour, fmt=marker, ms=4, capsize=2, lw=1)
    axis.set_yticks(range(len(rows)), [one.claim.id for one in rows], fontsize=7.5)
    axis.set(xlim=(left, right), ylim=(len(rows) - 0.4, -0.6), xlabel=PANELS[form])
    axis.grid(axis="y", visible=False)


def tally(ledger: pd.DataFrame, by: str = "source") -> pd.DataFrame:
    """Number of claims by source, or another column (rows), and verdict (columns, all four)."""
    found = pd.crosstab(ledger[by], ledger["verdict"])
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
