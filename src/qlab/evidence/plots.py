"""The figures of notebook 04, drawn from the records and the tables of evidence models."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch

from qlab.core import plot
from qlab.evidence import intensity
from qlab.evidence.intensity import SCALE
from qlab.evidence.measure import BOTH, OURS, SIX, conflicts, wide
from qlab.evidence.models import EFFECTS
from qlab.evidence.robustness import ALL
from qlab.evidence.words import counted, direction, name, written

COLOURS = {"worse": plot.PALETTE[3], "none": plot.PALETTE[7], "better": plot.PALETTE[1]}
DIRECTIONS = {"worse": "worse", "none": "indifferent", "better": "better"}
_STEPS = range(-3, 4)
_HALF = 0.38  # of a value's width on the scale


def forest(table: pd.DataFrame, rows: pd.DataFrame, profile: str) -> None:
    """The aggregated intensity of each effect as a bar, its belief, and each model as a dot."""
    found = wide(table, SIX, ALL)
    points = dots(rows)
    drawn = pd.concat([found.assign(kind="synthesis"), points.assign(kind="model")])
    height = 1.6 + 0.42 * len(found)
    with plot.figure("evidence_forest", profile, drawn, figsize=(8.6, height)) as (canvas, axis):
        for at, (effect, row) in enumerate(found.iterrows()):
            bar(axis, row, at)
            mine = points[points["effect"] == effect]
            axis.scatter(mine["x"] + mine["shift"], [at] * len(mine), s=60 * mine["belief"] + 4,
                         color="#000000", lw=0.6, ec="#FFFFFF", zorder=3)  # fmt: skip
            axis.text(3.85, at, f"{row['belief']:.2f}", va="center", ha="center")
            axis.text(4.55, at, f"{row['models']}", va="center", ha="center")
        axis.text(3.85, -0.85, "belief", ha="center", fontsize=9)
        axis.text(4.55, -0.85, "models", ha="center", fontsize=9)
        _effects(axis, found.index)
        scale(axis)
        handles = [Patch(color=COLOURS[d], alpha=0.45, label=DIRECTIONS[d]) for d in COLOURS]
        title = "Bar: aggregated intensity; dot: one evidence model, larger with its belief"
        canvas.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False,
                      title=title)  # fmt: skip


def dots(rows: pd.DataFrame) -> pd.DataFrame:
    """Each evidence model at the middle of its intensity, those of one place side by side."""
    ends = [intensity.ends(intensity.parse(text)) for text in rows["intensity"]]
    same = rows.groupby(["effect", "intensity"])["belief"]
    place, most = same.cumcount() + 0.5, same.transform("size")
    keep = ["study", "configuration", "effect", "intensity", "belief"]
    shift = (place - most / 2) * (0.11 - 0.004 * most)
    return rows[keep].assign(x=[sum(e) / 2 for e in ends], shift=shift)


def bar(axis, row: Mapping, at: float, height: float = 0.8, **more) -> None:
    """An intensity on the scale, as wide as its values."""
    style = {"color": COLOURS[direction(row)], "alpha": 0.45, "lw": 0} | more
    width = row["high"] - row["low"] + 2 * _HALF
    axis.barh(at, width, left=row["low"] - _HALF, height=height, zorder=2, **style)


def _effects(axis, effects) -> None:
    axis.set_yticks(range(len(effects)), [name(e) for e in effects])
    axis.set_ylim(len(effects) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)


def scale(axis) -> None:
    """The scale of seven along x, with a line at indifferent."""
    axis.axvline(0, color="#000000", lw=1, zorder=1)
    axis.set_xlim(-3.5, 3.5)
    axis.set_xticks(list(_STEPS), SCALE)
    axis.set_xlabel("intensity: strongly negative (SN), indifferent (IF), strongly positive (SP)")


def evidence_map(tables: dict[str, pd.DataFrame], profile: str) -> None:
    """How many evidence models there are by effect and technique; `tables` by their origin."""
    rows = pd.concat([t.assign(origin=origin) for origin, t in tables.items()])
    drawn = rows.groupby(["technique", "effect", "origin"], as_index=False).size()
    techniques = sorted(set(drawn["technique"]), key=lambda t: (-_share(drawn, t), t))
    effects = [e for e in EFFECTS if e in set(drawn["effect"])]
    counts = np.zeros((len(techniques), len(effects)))
    layout = {"figsize": (9.6, 2.6 + 0.3 * len(techniques))}
    with plot.figure("evidence_map", profile, drawn, **layout) as (_, axis):
        for (technique, effect), part in drawn.groupby(["technique", "effect"]):
            y, x = techniques.index(technique), effects.index(effect)
            counts[y, x] = part["size"].sum()
            by = part.set_index("origin")["size"]
            said = " + ".join(f"{by.get(o, 0)}" for o in tables)
            axis.text(x, y, said, ha="center", va="center", fontsize=9,
                      color="#FFFFFF" if counts[y, x] > 7 else "#000000")  # fmt: skip
        axis.imshow(np.ma.masked_equal(counts, 0), cmap="Blues", vmin=-2, vmax=15, aspect="auto")
        axis.set_xticks(range(len(effects)), [name(e).replace(" ", "\n") for e in effects],
                        fontsize=8)  # fmt: skip
        axis.set_yticks(range(len(techniques)), techniques)
        axis.grid(visible=False)
        axis.set_title("Evidence models: " + " + ".join(tables))


def _share(drawn: pd.DataFrame, technique: str) -> int:
    return int(drawn.loc[drawn["technique"] == technique, "size"].sum())


def conflict(table: pd.DataFrame, profile: str) -> None:
    """K of the last step over all orders, beside K of all at once and the mean of two."""
    drawn = conflicts(table, SIX).rename_axis("effect").reset_index()
    layout = {"figsize": (8.2, 1.7 + 0.36 * len(drawn))}
    with plot.figure("evidence_conflict", profile, drawn, **layout) as (canvas, axis):
        at = np.arange(len(drawn))
        axis.hlines(at, drawn["last_low"], drawn["last_high"], color=plot.PALETTE[6], lw=5,
                    label="last pairwise step, by order")  # fmt: skip
        axis.plot(drawn["all"], at, ls="", marker="o", ms=9, color="#000000",
                  label="all models at once")  # fmt: skip
        axis.plot(drawn["pairwise"], at, ls="", marker="D", ms=5, color=plot.PALETTE[2],
                  label="mean of all pairs")  # fmt: skip
        _effects(axis, drawn["effect"])
        axis.set(xlim=(-0.03, 1.05), xlabel="conflict K")
        canvas.legend(loc="outside lower center", ncols=3, frameon=False)


def with_ours(table: pd.DataFrame, profile: str) -> None:
    """The effects that we measured: the six studies, our experiments, and both together."""
    sets = {SIX: "six studies", OURS: "our experiments", BOTH: "together"}
    found = {model: wide(table, model, ALL) for model in sets}
    effects = [e for e in EFFECTS if e in found[OURS].index] or list(found[SIX].index)
    there = {model: rows for model, rows in found.items() if len(rows)}
    shown = [f[f.index.isin(effects)].assign(evidence=sets[m]) for m, f in there.items()]
    drawn = pd.concat(shown).rename_axis("effect").reset_index()
    layout = {"figsize": (8.6, 1.5 + 0.9 * len(effects))}
    with plot.figure("evidence_with_ours", profile, drawn, **layout) as (_, axis):
        told = written(drawn)
        for i, row in drawn.iterrows():
            place = list(sets.values()).index(row["evidence"])
            at = effects.index(row["effect"]) + (place - 1) * 0.27
            # Hatching, not colour, tells the three apart: colour is the direction.
            bar(axis, row, at, 0.23, hatch=("", "////", "xxx")[place], edgecolor="#FFFFFF")
            said = f"{row['evidence']}: {told[i]} ({counted(row['models'])})"
            axis.text(3.62, at, said, va="center", fontsize=8.5)
        _effects(axis, effects)
        scale(axis)
        if found[OURS].empty:
            axis.set_title("None of our experiments has records here: the six studies alone")


def diagram(table: pd.DataFrame, profile: str) -> None:
    """The synthesis as the method draws it: a cause, the system it acts in, its effects."""
    found = wide(table, SIX, ALL)
    drawn = found.rename_axis("effect").reset_index()
    layout = {"figsize": (9.4, 1.2 + 0.52 * len(found))}
    with plot.figure("evidence_diagram", profile, drawn, **layout) as (_, axis):
        middle = (len(found) - 1) / 2
        _box(axis, 0, middle, "cause\nmodel quantization", "#FFFFFF")
        _box(axis, 2.85, middle, "system\ndeep-learning\nmodel at inference", "#FFFFFF")
        _arrow(axis, (1.0, middle), (1.85, middle), 2.0, "#000000")
        for at, (effect, row) in enumerate(found.iterrows()):
            colour = COLOURS[direction(row)]
            _arrow(axis, (3.85, middle), (4.95, at), 0.6 + 3 * row["belief"], colour)
            axis.text(5.05, at, name(effect), va="center", ha="left", fontsize=10)
            said = f"{row['intensity']}, belief {row['belief']:.2f}"
            axis.text(7.2, at, said, va="center", ha="left", color=colour, weight="bold")
        axis.set(xlim=(-1.1, 9.2), ylim=(len(found) - 0.3, -0.7))
        axis.axis("off")
        handles = [Patch(color=COLOURS[d], label=DIRECTIONS[d]) for d in COLOURS]
        axis.legend(handles=handles, loc="lower left", frameon=False, fontsize=9,
                    title="effect (a thick arrow: a strong belief)")  # fmt: skip


def _box(axis, x: float, y: float, text: str, colour: str) -> None:
    shape = FancyBboxPatch((x - 0.95, y - 0.9), 1.9, 1.8, boxstyle="round,pad=0.04", fc=colour,
                           ec="#000000")  # fmt: skip
    axis.add_patch(shape)
    axis.text(x, y, text, ha="center", va="center", fontsize=10)


def _arrow(axis, start: tuple[float, float], end: tuple[float, float], width: float, colour):
    axis.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9 + 2 * width, lw=width,
                        color=colour, shrinkA=0, shrinkB=0)
    )  # fmt: skip
