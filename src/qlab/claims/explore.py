"""The explore section of notebook 05: one claim after the other, with its rule and its figures."""

import html
import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter

import numpy as np
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from qlab.claims import ledger
from qlab.claims.claims import Source
from qlab.claims.data import Evidence
from qlab.claims.ledger import Judged, Ruling, scale
from qlab.claims.plots import STYLE
from qlab.claims.verdicts import VERDICTS, Term
from qlab.core import live, plot
from qlab.core.errors import QlabError

ALL_SOURCES, ANY_VERDICT = "all sources", "any verdict"
MOST = 8  # figures of one claim that are drawn
_AXES = {"x": "ratio", "points": "points", "share": "%", "r": "rank correlation"}
_WIDE = 8  # ratios that span more than this have a logarithmic axis


def terms(one: Judged, evidence: Evidence) -> list[Term]:
    """The figures of a claim: first the one it hangs on, then the nearest to their bounds."""
    table, _ = evidence.of(one.claim, one.tier)
    others = [t for t in one.claim.rule.terms(table) if t != one.term]
    return [one.term, *sorted(others, key=lambda term: term.margin)]


def sentence(one: Judged, source: Source) -> str:
    """A claim with its verdict, what was found, what was wanted, and its rule."""
    claim, term = one.claim, one.term
    if term is None:
        told = one.reason
    else:
        p_value = "" if term.p_value is None else f", p = {term.p_value:.2g}"
        rule = "; ".join(f"{k} {v}" for k, v in claim.rule.told().items()).replace("'", "")
        told = (
            f"Found {ledger.written(term)}, n = {term.estimate.n:,}{p_value}; wanted "
            f"{ledger.wanted(term)}. Read from {ledger.relative(one.file)}. Rule: {rule}."
        )
    said = f"{claim.statement} ({source.name}; {claim.place}; judged by {one.tier})"
    said, told = (html.escape(text, quote=False) for text in (said, told))
    return f"<b>{STYLE[one.verdict][2]}</b>: {said}<br>{told}"


def picture(found: Sequence[Term]) -> Figure:
    """The first MOST figures over the ranges that the claim wants (green), one axis a unit."""
    plot.use_style()
    unit = attrgetter("form", "unit")
    parts = [list(part) for _, part in groupby(sorted(found[:MOST], key=unit), key=unit)]
    sizes = [len(part) + 1.2 for part in parts]
    layout = {"nrows": len(parts), "squeeze": False, "gridspec_kw": {"height_ratios": sizes}}
    canvas, axes = subplots(figsize=(8.6, 0.5 + 0.5 * sum(sizes)), **layout)
    for axis, part in zip(axes[:, 0], parts, strict=True):
        _rows(axis, part, found)
    more = f", the {MOST} of {len(found)} nearest to their bounds" if len(found) > MOST else ""
    canvas.suptitle(f"Green: what the claim wants; bar: 95 % interval{more}", fontsize=10)
    return canvas


def _rows(axis, part: Sequence[Term], found: Sequence[Term]) -> None:
    """A line for each of some figures of one unit."""
    ends = _ends(part)
    if part[0].form == "x" and 0 < _WIDE * ends[0] < ends[1]:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
    for at, term in enumerate(part):
        value, low, high, _ = (scale(term) * v for v in term.estimate)
        left, right = np.clip([scale(term) * b for b in (term.low, term.high)], *ends)
        axis.barh(at, right - left, left=left, height=0.8, color=plot.PALETTE[4], alpha=0.2)
        colour, marker, _ = STYLE[term.verdict(len(found))]
        axis.errorbar(value, at, xerr=[[max(value - low, 0)], [max(high - value, 0)]], color=colour,
                      fmt=marker, ms=7, capsize=3)  # fmt: skip
        axis.annotate(ledger.written(term), (1.01, at), fontsize=9, va="center",
                      xycoords=("axes fraction", "data"))  # fmt: skip
    labels = [textwrap.fill(term.name, 38) for term in part]
    axis.set_yticks(range(len(part)), labels, fontsize=8)
    axis.set(xlim=ends, ylim=(len(part) - 0.5, -0.5), xlabel=_AXES.get(part[0].form, part[0].unit))
    axis.grid(axis="y", visible=False)


def _ends(part: Sequence[Term]) -> tuple[float, float]:
    """Room for all values, intervals and bounds, as they are written, with a margin."""
    all_of = [v for t in part for v in (*t.estimate[:3], t.low, t.high) if np.isfinite(v)]
    low, high = (scale(part[0]) * v for v in (min(all_of), max(all_of)))
    if part[0].form == "x" and low > 0:
        return low / 1.25, high * 1.25
    margin = 0.12 * (high - low) or 0.5
    return low - margin, high + margin


def widget(rulings: Sequence[Ruling], sources: Mapping[str, Source], evidence: Evidence):
    """A box (`live.follow`) of source, verdict and claim; the claims on offer follow the others."""
    by_id = {one.claim.id: one.shown for one in rulings}
    names = [(ALL_SOURCES, ALL_SOURCES), *((s.name, key) for key, s in sources.items())]
    verdicts = [(ANY_VERDICT, ANY_VERDICT), *((STYLE[v][2], v) for v in VERDICTS)]
    source, verdict = live.choice(names, "source"), live.choice(verdicts, "verdict")
    claim = live.choice(list(by_id), "claim")

    def offer(_=None) -> None:
        claim.options = [
            name for name, j in by_id.items()
            if source.value in (ALL_SOURCES, j.claim.source)
            and verdict.value in (ANY_VERDICT, j.verdict)
        ]  # fmt: skip

    for control in (source, verdict):  # before `follow`, which then finds the claims on offer
        control.observe(offer, "value")

    def show(source: str, verdict: str, claim: str | None) -> tuple[str, Figure]:
        if claim is None:
            raise QlabError("There is no claim of this source with this verdict.")
        one = by_id[claim]
        told = sentence(one, sources[one.claim.source])
        return told, live.nothing() if one.term is None else picture(terms(one, evidence))

    return live.follow(show, [source, verdict, claim])
