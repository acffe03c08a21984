"""The explore section of notebook 04: one effect, weighed from the studies the reader chooses."""

import ipywidgets
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from qlab.core import live, plot
from qlab.core.errors import QlabError
from qlab.evidence import dempster, intensity
from qlab.evidence.data import Task
from qlab.evidence.intensity import FRAME
from qlab.evidence.models import EFFECTS, name
from qlab.evidence.plots import ladder
from qlab.evidence.synthesis import THRESHOLD, Synthesis, masses, synthesize


def sentence(found: Synthesis) -> str:
    """Both readings and the conflict, in words."""
    readings = (found.reading, found.reading_a)
    b, a = (f"{intensity.label(read)}, belief {belief:.2f}" for read, belief in readings)
    return (f"models: {found.models}, studies: {found.studies}: <b>{b}</b> by reading (b); {a} by "
            f"reading (a). Conflict K of all at once {found.conflict:.3f}.")  # fmt: skip


def picture(rows: pd.DataFrame, found: Synthesis) -> Figure:
    """Each study's models, with both readings below; beside them, where the combined mass lies."""
    plot.use_style()
    readings = {"reading (b)": found.reading.intensity, "reading (a)": found.reading_a.intensity}
    ends = pd.DataFrame(map(intensity.ends, readings.values()), readings, ["low", "high"])
    names = [*dict.fromkeys(rows["study"]), *readings]
    size, widths = (9.6, 2 + 0.36 * len(names)), {"width_ratios": [3, 2]}
    canvas, (left, right) = subplots(ncols=2, figsize=size, gridspec_kw=widths)
    ladder(left, names, rows.assign(row=rows["study"]), ends)
    left.set_title("Dot: a model, larger with its belief")
    mass = dempster.combine(masses(rows)).mass
    order = sorted(mass, key=lambda answers: (len(answers) > 2, intensity.ends(answers)))
    labels = ["any" if a == FRAME else intensity.label(a) for a in order]
    bars = right.barh(labels, [mass[a] for a in order], color=plot.PALETTE[1])
    right.bar_label(bars, fmt="%.2f", padding=3, fontsize=9)
    right.set(xlim=(0, 1.15), xlabel="combined mass (any: of the scale)")
    right.invert_yaxis()
    right.grid(axis="y", visible=False)
    return canvas


def widget(task: Task):
    """Controls (`live.follow`) for effect, threshold and studies, set at first as in the paper."""
    rows = task.rows
    effects = [e for e in EFFECTS if e in set(rows["effect"])]

    def show(effect: str, percent: float, studies: tuple[str, ...]) -> tuple[str, Figure]:
        there = rows[(rows["effect"] == effect) & (rows["belief"] > 0)]
        some = there[there["study"].isin(studies)]
        if some.empty:
            raise QlabError(
                f"No chosen study has evidence on {name(effect)}; take in one or more of "
                f"{', '.join(there['study'].unique())}."
            )
        found = synthesize(some, percent / 100)
        said = f"{name(effect)}, threshold {percent:.0f}%, {sentence(found)}"
        return said, picture(some, found)

    controls = [
        ipywidgets.Dropdown(options=[(name(e), e) for e in effects], description="effect"),
        ipywidgets.FloatSlider(
            100 * THRESHOLD, min=50, max=100, step=1, description="threshold, %"
        ),
        ipywidgets.SelectMultiple(
            options=list(dict.fromkeys(rows["study"])),
            value=tuple(set(task.six["study"])),
            description="studies",
        ),
    ]
    return live.follow(show, controls)
