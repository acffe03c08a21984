"""The larger figures of notebook 00, each saved with the numbers drawn."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.ticker import NullFormatter, PercentFormatter

from qlab.by_hand import grid as by_hand
from qlab.by_hand.data import World
from qlab.by_hand.measure import BITS, ERRORS, Made
from qlab.core import plot
from qlab.core.records import pick

BLUE, SKY, RED, GREEN, PINK, ORANGE, GREY = plot.PALETTE[1:]
GRIDS = {  # method and grid: colour, marker and line, label
    ("rtn", "sym_tensor"): (BLUE, "o-", "symmetric, per tensor"),
    ("rtn", "asym_tensor"): (SKY, "s--", "asymmetric, per tensor"),
    ("rtn", "sym_channel"): (RED, "D-", "symmetric, per channel"),
    ("rtn", "asym_channel"): (ORANGE, "^--", "asymmetric, per channel"),
}
METHODS = {
    ("rtn", "sym_channel"): (RED, "D-", "rounded to nearest"),
    ("ste", "sym_channel"): (BLUE, "o-", "trained, straight-through"),
    ("gptq", "sym_channel"): (GREEN, "s-", "GPTQ"),
}


def filters(world: World) -> None:
    """The 16 filters as images, in float and with ever fewer bits; saves `by_hand_filters`."""
    weight = world.layer.weight
    rows = {"float": weight}
    for bits in (8, 4, 3, 2):
        grid = by_hand.symmetric(weight, bits, per_channel=True)
        rows[f"{bits} bits"] = by_hand.round_trip(weight, grid)
    drawn = pd.DataFrame({name: other.ravel() for name, other in rows.items()})
    layout = {"nrows": len(rows), "ncols": len(weight), "figsize": (9.4, 3.9)}
    with plot.figure("by_hand_filters", world.place, drawn, **layout) as (canvas, axes):
        reach = np.abs(weight).max()
        for line, (name, other) in zip(axes, rows.items(), strict=True):
            error = by_hand.output_error(weight, other, world.judged.mean(0))
            off = "" if name == "float" else f"\noutputs off\nby {error:.{int(error < 0.1)}%}"
            line[0].set_ylabel(f"{name}{off}", rotation=0, ha="right", va="center", fontsize=9)
            colours = np.clip(0.5 + 0.5 * other / reach, 0, 1)  # of the pixels, grey where 0
            for axis, picture in zip(line, colours.reshape(-1, 3, 3, 3), strict=True):
                axis.imshow(picture)
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
        canvas.get_layout_engine().set(hspace=0.02, wspace=0.02)
        told = f"{world.model}: the first layer's filters, rounded to nearest; grey is 0"
        canvas.suptitle(f"{told}; errors on {len(world.test)} images", fontsize=11)


def over_bits(table: pd.DataFrame, world: World, figure: str, looks: Mapping) -> None:
    """Errors of weights and outputs over bits, with intervals: one line for each of `looks`."""
    names = {Made(m, b, grid, None).variant: (m, grid) for m, grid in looks for b in BITS}
    columns = ["metric", "variant", "bits", "value", "ci_low", "ci_high"]
    drawn = pick(table, ERRORS, variant=list(names))[columns].sort_values(["variant", "bits"])
    layout = {"ncols": 2, "sharey": True, "figsize": (9.4, 4.4)}
    with plot.figure(figure, world.place, drawn, **layout) as (canvas, axes):
        judged = f"{len(world.test)} images of {world.dataset}"
        titles = (f"{world.model}: weights of the first layer", f"its outputs, on {judged}")
        for axis, metric, title in zip(axes, ERRORS, titles, strict=True):
            for look, (colour, form, label) in looks.items():
                rows = drawn[(drawn["metric"] == metric) & (drawn["variant"].map(names) == look)]
                bars = [rows["value"] - rows["ci_low"], rows["ci_high"] - rows["value"]]
                axis.errorbar(rows["bits"], rows["value"], bars, fmt=form, color=colour, ms=5,
                              label=label)  # fmt: skip
            axis.axhline(1, color=GREY, lw=1)
            axis.set(title=title, xlabel="bits", xticks=BITS, yscale="log")
            axis.yaxis.set_major_formatter(PercentFormatter(1))
            axis.yaxis.set_minor_formatter(NullFormatter())
        halved = 0.9 * 2.0 ** -(np.array(BITS) - 2)
        axes[0].plot(BITS, halved, ":", color="black", lw=1, label="halved by every bit")
        axes[0].set_ylabel("error, share of the size (log scale)")
        canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3,
                      frameon=False)  # fmt: skip
