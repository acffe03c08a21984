"""The explore section of notebook 04: one effect, weighed from the studies that one chooses."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from qlab.core import live, plot
from qlab.core.errors import QlabError
from qlab.evidence import dempster, intensity
from qlab.evidence.data import Task
from qlab.evidence.dempster import Mass
from qlab.evidence.intensity import FRAME
from qlab.evidence.models import EFFECTS
from qlab.evidence.plots import bar, dots, scale
from qlab.evidence.synthesis import THRESHOLD, Synthesis, masses, synthesize
from qlab.evidence.words import counted, name

NOTHING_KNOWN = "any"  # mass on the whole scale


def chosen(rows: pd.DataFrame, effect: str, studies: tuple[str, ...]) -> pd.DataFrame:
    """The evidence models of an effect in some studies; QlabError names who has any, if none is."""
    there = rows[(rows["effect"] == effect) & (rows["belief"] > 0)]
    found = there[there["study"].isin(studies)]
    if found.empty:
        raise QlabError(
            f"No chosen study has evidence on {name(effect)}; take in one or more of "
            f"{', '.join(dict.fromkeys(there['study']))}."
        )
    return found


def sentence(effect: str, found: Synthesis, threshold: float) -> str:
    """Both readings and the conflict, in words."""
    studies = f"{found.studies} stud{'y' if found.studies == 1 else 'ies'}"
    b, a = (
        f"{intensity.in_words(reading.intensity)}, belief {reading.belief:.2f}"
        for reading in (found.reading, found.reading_a)
    )
    return (
        f"{name(effect)}, {counted(found.models)} of {studies}, threshold {threshold:.0%}: "
        f"<b>{b}</b> by reading (b); {a} by reading (a). "
        f"Conflict K {found.conflict:.3f} of all at once, {found.pairwise:.3f} of two in the mean."
    )


def picture(rows: pd.DataFrame, found: Synthesis) -> Figure:
    """Each model by study with both readings below; beside it, where the combined belief lies."""
    plot.use_style()
    studies = list(dict.fromkeys(rows["study"]))
    layout = {"width_ratios": [3, 2]}
    size = (9.6, 2.6 + 0.28 * len(studies))
    canvas, (left, right) = subplots(ncols=2, figsize=size, gridspec_kw=layout)
    points = dots(rows.assign(effect=rows["study"]))
    places = points["study"].map(studies.index)
    left.scatter(points["x"] + points["shift"], places, s=60 * points["belief"] + 4,
                 color="#000000", lw=0.6, ec="#FFFFFF", zorder=3)  # fmt: skip
    readings = {"reading (b)": found.reading, "reading (a)": found.reading_a}
    for at, reading in enumerate(readings.values(), len(studies)):
        bar(left, dict(zip(("low", "high"), intensity.ends(reading.intensity), strict=True)), at)
        left.text(3.6, at, f"{reading.belief:.2f}", va="center")
    left.set_yticks(range(len(studies) + 2), [*studies, *readings])
    left.set_ylim(len(studies) + 1.6, -0.6)
    left.grid(axis="y", visible=False)
    scale(left)
    left.set_xlabel("intensity, from strongly negative to strongly positive")
    left.set_title("Dot: a model, larger with its belief")
    _masses(right, dempster.combine(masses(rows)).mass)
    return canvas


def _masses(axis, mass: Mass) -> None:
    """The combined mass of each single value and pair, and of the whole scale."""
    order = sorted(mass, key=lambda answers: (len(answers) > 2, intensity.ends(answers)))
    labels = [NOTHING_KNOWN if a == FRAME else intensity.label(a) for a in order]
    bars = axis.barh(labels, [mass[a] for a in order], color=plot.PALETTE[1])
    axis.bar_label(bars, [f"{mass[a]:.2f}" for a in order], padding=3, fontsize=9)
    axis.set(xlim=(0, 1.15), xlabel="combined mass")
    axis.set_xticks([0, 0.5, 1])
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set_title(f"By Dempster's rule ({NOTHING_KNOWN}: of the scale)")


def widget(task: Task):
    """A box (`live.follow`) of effect, threshold and studies; it begins as the paper has it."""
    rows = task.rows
    effects = [e for e in EFFECTS if e in set(rows["effect"])]

    def show(effect: str, percent: float, studies: tuple[str, ...]) -> tuple[str, Figure]:
        some, threshold = chosen(rows, effect, studies), percent / 100
        found = synthesize(some, threshold)
        return sentence(effect, found, threshold), picture(some, found)

    controls = [
        live.choice([(name(e), e) for e in effects], "effect"),
        live.slider(100 * THRESHOLD, 50, 100, 1, "threshold, %"),
        live.several(list(dict.fromkeys(rows["study"])), "studies", set(task.six["study"])),
    ]
    return live.follow(show, controls)
