"""One style for all figures, and one way to keep them: PNG, SVG and the numbers drawn."""

from contextlib import contextmanager

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from qlab.core import paths
from qlab.core.cache import written_whole

# Okabe and Ito's, for any colour vision and print, with grey for its yellow, too light for lines.
PALETTE = ["#000000", "#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#7F7F7F"]
MARKERS = ["o", "s", "D", "X", "^", "P", "v", "*"]  # for readers without colours
_STYLE = {
    "figure.figsize": (7.2, 4.2),
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # ships with matplotlib, so every machine draws the same
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=PALETTE),
    "grid.color": "#DDDDDD",
    "svg.hashsalt": "qlab",  # matplotlib's random ids would change the bytes
    "svg.fonttype": "none",
}


def use_style() -> None:
    """Give every later figure of this process the collection's style."""
    sns.set_theme(style="whitegrid", rc=_STYLE)


@contextmanager
def figure(name: str, profile: str, drawn: pd.DataFrame, **layout):
    """Draw a figure and keep it as `figures/<profile>/<name>.png` and .svg, with `drawn` as .csv.
    Yields `plt.subplots(**layout)`. The bytes are reproducible; nothing is written if drawing
    fails."""
    use_style()
    canvas, axes = plt.subplots(**layout)
    yield canvas, axes
    folder = paths.figures(profile)
    for suffix, unsaid in {".png": ("Software",), ".svg": ("Date", "Creator")}.items():
        with written_whole(folder / f"{name}{suffix}") as part:
            canvas.savefig(part, metadata=dict.fromkeys(unsaid))
    with written_whole(folder / f"{name}.csv") as part:
        drawn.to_csv(part, index=False, float_format="%.6g")
