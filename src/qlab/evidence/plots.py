"""Evidence on the seven-point scale: models as dots, what they say together as bars."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.patches import Patch

from qlab.core import plot
from qlab.evidence import intensity
from qlab.evidence.intensity import SCALE, side

COLOURS = {"worse": plot.PALETTE[3], "none": plot.PALETTE[7], "better": plot.PALETTE[1]}
_HALF = 0.38  # half the width of one value's bar


def ladder(axis, names: Sequence[str], models: pd.DataFrame, read: pd.DataFrame) -> None:
    """One row per name: its models as dots, and the intensity `read` off, low to high, as a bar."""
    for name, low, high in zip(read.index, read["low"], read["high"], strict=True):
        axis.barh(names.index(name), high - low + 2 * _HALF, left=low - _HALF, height=0.9, lw=0,
                  color=COLOURS[side(low, high)], alpha=0.45, zorder=2)  # fmt: skip
    drawn = dots(models)
    axis.scatter(drawn["x"], drawn["row"].map(names.index) + drawn["y"], lw=0.4, ec="#FFFFFF",
                 s=40 * drawn["belief"] + 4, color="#000000", zorder=3)  # fmt: skip
    axis.axvline(0, color="#000000", lw=1, zorder=1)
    axis.set(xlim=(-3.5, 3.5), ylim=(len(names) - 0.4, -0.6))
    axis.set_xticks(range(-3, 4), SCALE)
    axis.set_yticks(range(len(names)), names)
    axis.grid(axis="y", visible=False)


def dots(models: pd.DataFrame) -> pd.DataFrame:
    """Add the dots' places x, y on each `row`: at the intensity's middle, in columns of three."""
    middle = [sum(intensity.ends(intensity.parse(text))) / 2 for text in models["intensity"]]
    same = models.groupby(["row", "intensity"])["belief"]
    (column, line), most = divmod(same.cumcount(), 3), same.transform("size")
    lines = (most - 3 * column).clip(upper=3)
    x = middle + 0.13 * (column - (most - 1) // 3 / 2)
    return models.assign(x=x, y=0.26 * (line - (lines - 1) / 2))


def legend(canvas) -> None:
    """A legend of bars, dots and the three colours, below the figure."""
    canvas.legend(
        handles=[Patch(color=colour, alpha=0.45, label=d) for d, colour in COLOURS.items()],
        title="Bar: aggregated intensity (none: indifferent)\n"
        "Dot: an evidence model, larger with its belief",
        loc="outside lower center", ncols=3, frameon=False,
    )  # fmt: skip
