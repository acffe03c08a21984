"""The figures of notebook 00, each kept with the numbers drawn."""

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter, StrMethodFormatter

from qlab.by_hand import data, measure
from qlab.by_hand import grid as by_hand
from qlab.by_hand.data import World
from qlab.by_hand.grid import Grid
from qlab.core import plot
from qlab.core.records import pick

BLUE, SKY, RED, GREEN, GREY = (plot.PALETTE[i] for i in (1, 2, 3, 4, 7))
ERRORS = ["weight_error", "output_error"]
GRID_LOOK = {  # of `measure.GRIDS`: colour, marker, line, label
    "sym_tensor": (BLUE, "o", "-", "symmetric, per tensor"),
    "asym_tensor": (SKY, "s", "--", "asymmetric, per tensor"),
    "sym_channel": (RED, "D", "-", "symmetric, per channel"),
    "asym_channel": (plot.PALETTE[6], "^", "--", "asymmetric, per channel"),
}
METHOD_LOOK = {  # colour, marker, label
    "rtn": (RED, "D", "rounded to nearest"),
    "ste": (BLUE, "o", "trained, straight-through"),
    "gptq": (GREEN, "s", "GPTQ"),
}


def filters(world: World) -> None:
    """The 16 filters as images, float and with ever fewer bits; keeps `by_hand_filters`."""
    weight = world.layer.weight
    rows = {"float": weight}
    for bits in (8, 4, 3, 2):
        grid = by_hand.symmetric(weight, bits, per_channel=True)
        rows[f"{bits} bits"] = by_hand.round_trip(weight, grid)
    drawn = pd.concat([as_lines(other, name) for name, other in rows.items()])
    layout = {"nrows": len(rows), "ncols": len(weight), "figsize": (9.4, 3.9)}
    with plot.figure("by_hand_filters", world.place, drawn, **layout) as (canvas, axes):
        reach = np.abs(weight).max()
        for line, (name, other) in zip(axes, rows.items(), strict=True):
            error = by_hand.output_error(weight, other, world.judged.mean(0))
            off = "" if name == "float" else f"\noutputs off\nby {error:.{int(error < 0.1)}%}"
            line[0].set_ylabel(f"{name}{off}", rotation=0, ha="right", va="center", fontsize=9)
            colours = np.clip(0.5 + 0.5 * other / reach, 0, 1)  # of the pixels, grey where 0
            pictures = colours.reshape(-1, data.SIDE, data.SIDE, data.COLOURS)
            for axis, picture in zip(line, pictures, strict=True):
                axis.imshow(picture)
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
        canvas.get_layout_engine().set(hspace=0.02, wspace=0.02)
        canvas.suptitle("16 filters of 3x3 pixels, rounded to nearest; grey is 0", fontsize=11)


def as_lines(weight: np.ndarray, name: str) -> pd.DataFrame:
    """One line a weight: which, channel, column, weight."""
    channel, column = np.indices(weight.shape)
    parts = {"channel": channel, "column": column, "weight": weight}
    return pd.DataFrame({k: v.ravel() for k, v in parts.items()}).assign(which=name)


def rounding(world: World, channel: int, bits: int, clip: float) -> None:
    """One filter's weights on the staircase, and how far each is moved: `by_hand_rounding`."""
    row = world.layer.weight[[channel]]
    grid = by_hand.symmetric(row, bits, clip=clip)
    drawn = pd.DataFrame({"weight": row[0], "rounded": by_hand.round_trip(row, grid)[0]})
    layout = {"nrows": 2, "sharex": True, "figsize": (7.2, 5.4), "height_ratios": (3, 2)}
    with plot.figure("by_hand_rounding", world.place, drawn, **layout) as (_, axes):
        staircase(axes, row, grid)
        step = grid.scale[0, 0]
        axes[0].set_title(
            f"Filter {channel}, {bits} bits, {clip:.0%} of its range: a step is {step:.2f}"
        )


def staircase(axes, row: np.ndarray, grid: Grid) -> None:
    """What comes back of a row of weights [1, in] (above), and the error (below), on two axes."""
    reach = 1.15 * np.abs(row).max()
    line = np.linspace(-reach, reach, 2001)[None]
    for axis, offset in zip(axes, (0, 1), strict=True):
        for x, look in (
            (line, {"color": GREY, "lw": 1}),
            (row, {"marker": "o", "ms": 5, "ls": ""}),
        ):
            axis.plot(x[0], (by_hand.round_trip(x, grid) - offset * x)[0], **{"color": BLUE} | look)
        lost = ~by_hand.inside(line, grid)[0]
        axis.fill_between(line[0], 0, 1, where=lost, transform=axis.get_xaxis_transform(),
                          color=RED, alpha=0.12, lw=0)  # fmt: skip
    half = grid.scale[0, 0] / 2
    ticks = grid.levels()[0][:: max(1, (grid.high - grid.low) // 10)]
    axes[0].set(ylabel="what comes back", yticks=ticks, xlim=(-reach, reach))
    axes[0].yaxis.set_major_formatter(StrMethodFormatter("{x:.2f}"))
    axes[1].axhspan(-half, half, color=GREEN, alpha=0.15, lw=0)
    axes[1].set(xlabel="weight (dots: the filter's 27; red: clipped)", ylabel="error")
    axes[1].text(0.98 * reach, half, "half a step", ha="right", va="bottom", fontsize=9)


def levels(axis, weight: np.ndarray, grid: Grid) -> None:
    """A line for each filter: its weights as dots, the levels it may use as ticks."""
    found = np.broadcast_to(grid.levels(), (len(weight), grid.high - grid.low + 1))
    rows = np.arange(len(weight))
    axis.plot(found.T, np.broadcast_to(rows, found.T.shape), "|", color=RED, ms=11, mew=1.3)
    spread = np.broadcast_to(rows[:, None], weight.shape)
    axis.plot(weight.ravel(), spread.ravel(), "o", color=BLUE, ms=3, alpha=0.6, mew=0)
    axis.set(ylim=(len(weight) - 0.4, -0.6), yticks=rows[::3], ylabel="filter")
    axis.set_xlabel("weight (dots), levels (ticks)")
    axis.grid(visible=False)


def error_by_bits(table: pd.DataFrame, world: World) -> None:
    """Error of weights and of outputs over bits, four grids; keeps `by_hand_error_by_bits`."""
    drawn = pd.concat([_over_bits(table, "rtn", grid).assign(grid=grid) for grid in GRID_LOOK])
    layout = {"ncols": 2, "sharey": True, "figsize": (9.4, 4.4)}
    with plot.figure("by_hand_error_by_bits", world.place, drawn, **layout) as (canvas, axes):
        for axis, metric in zip(axes, ERRORS, strict=True):
            for name, (colour, marker, line, label) in GRID_LOOK.items():
                rows = drawn[(drawn["metric"] == metric) & (drawn["grid"] == name)]
                axis.plot(rows["bits"], rows["value"], line, marker=marker, color=colour, ms=5,
                          label=label)  # fmt: skip
            _error_axis(axis)
        bits = np.array(measure.BITS)
        halved = 0.9 * 2.0 ** -(bits - 2)
        axes[0].plot(bits, halved, ":", color="black", lw=1, label="halved by every bit")
        _titled(canvas, axes)


def _over_bits(table: pd.DataFrame, method: str, grid: str) -> pd.DataFrame:
    """Both errors of a method on a grid, by rising bits."""
    names = [measure.named(method, bits, grid) for bits in measure.BITS]
    rows = pick(table, ERRORS, variant=names)[["metric", "bits", "value", "ci_low", "ci_high"]]
    return rows.astype({"bits": int}).sort_values("bits", kind="stable")


def _titled(canvas, axes) -> None:
    axes[0].set(title="the weights", ylabel="error, share of the size (log scale)")
    axes[1].set_title("the layer's outputs, on test images")
    canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3,
                  frameon=False)  # fmt: skip


def _error_axis(axis) -> None:
    """Shares on a log scale, over bits; a line where the error is as large as what it spoils."""
    axis.axhline(1, color=GREY, lw=1)
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set(xlabel="bits", xticks=measure.BITS)


def clipping(world: World) -> None:
    """Rounding and clipping error over the share of the range kept; keeps `by_hand_clipping`."""
    found = {b: measure.clipping(world.layer.weight, b) for b in measure.CLIPPED_BITS}
    lines = [(b, c, *parts) for b, errors in found.items() for c, parts in errors.items()]
    drawn = pd.DataFrame(lines, columns=["bits", "clip", "rounding", "clipping"])
    drawn["total"] = drawn["rounding"] + drawn["clipping"]
    layout = {"ncols": len(found), "figsize": (10.4, 3.4), "sharex": True}
    with plot.figure("by_hand_clipping", world.place, drawn, **layout) as (canvas, axes):
        for axis, (bits, rows) in zip(axes, drawn.groupby("bits"), strict=True):
            axis.plot(rows["clip"], rows["rounding"], color=BLUE, label="rounding")
            axis.plot(rows["clip"], rows["clipping"], "--", color=RED, label="clipping")
            axis.plot(rows["clip"], rows["total"], color="black", lw=2, label="both")
            best = rows.loc[rows["total"].idxmin()]
            axis.plot(best["clip"], best["total"], "o", color="black", ms=7)
            axis.set(title=f"{bits} bits: best at {best['clip']:.0%}")
            axis.set_xlabel("share of the range kept")
            axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            axis.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g}%"))
            axis.set_ylim(0, min(2.2 * rows["total"].iloc[-1], 1.05 * rows["total"].max()))
        axes[0].set_ylabel("squared error,\nshare of the weights'")
        canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3,
                      frameon=False)  # fmt: skip


def methods(table: pd.DataFrame, world: World) -> None:
    """Weights' and outputs' error over bits, three ways to choose levels: `by_hand_methods`."""
    found = [_over_bits(table, m, "sym_channel").assign(method=m) for m in METHOD_LOOK]
    drawn = pd.concat(found)
    layout = {"ncols": 2, "sharey": True, "figsize": (9.4, 4.2)}
    with plot.figure("by_hand_methods", world.place, drawn, **layout) as (canvas, axes):
        for axis, metric in zip(axes, ERRORS, strict=True):
            for name, (colour, marker, label) in METHOD_LOOK.items():
                rows = drawn[(drawn["metric"] == metric) & (drawn["method"] == name)]
                bars = [rows["value"] - rows["ci_low"], rows["ci_high"] - rows["value"]]
                axis.errorbar(rows["bits"], rows["value"], yerr=bars, marker=marker, color=colour,
                              ms=5, label=label)  # fmt: skip
            _error_axis(axis)
        _titled(canvas, axes)
