"""The sliders of notebook 00: one filter on the staircase, and the whole layer on its levels."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from qlab.by_hand import grid as by_hand
from qlab.by_hand import plots as draw
from qlab.by_hand.data import World
from qlab.core import live, plot

PARTS = {"per tensor": False, "per channel": True}
SCHEMES = {"symmetric": by_hand.symmetric, "asymmetric": by_hand.asymmetric}


def staircase(world: World):
    """A box (`live.follow`) of filter, bits and clip, a sentence, and the filter's staircase."""

    def show(channel: float, bits: float, clip: float) -> tuple[str, Figure]:
        row = world.layer.weight[[int(channel)]]
        grid = by_hand.symmetric(row, int(bits), clip=clip)
        plot.use_style()
        layout = {"nrows": 2, "sharex": True, "height_ratios": (3, 2)}
        canvas, axes = plt.subplots(figsize=(7.2, 4.8), **layout)
        draw.staircase(axes, row, grid)
        back = by_hand.round_trip(row, grid)
        clipped = int((~by_hand.inside(row, grid)).sum())
        told = (
            f"Filter {channel:.0f} on {grid.high - grid.low + 1} levels, a step of "
            f"{grid.scale[0, 0]:.3f}: {clipped} of {row.size} weights are clipped, the largest "
            f"error is {abs(back - row).max():.3f}, and together they are off by "
            f"{by_hand.weight_error(row, back):.1%}."
        )
        return told, canvas

    filters = len(world.layer.weight)
    return live.follow(show, [_shown(".0f", 12, 0, filters - 1, 1, "filter"), _bits(3), _clip(0.7)])


def layer(world: World):
    """A box of bits, granularity, scheme and clip; the levels of all filters, and both errors."""
    import ipywidgets as w

    moments = world.judged.mean(0)

    def show(bits: float, part: str, scheme: str, clip: float) -> tuple[str, Figure]:
        weight = world.layer.weight
        grid = SCHEMES[scheme](weight, int(bits), PARTS[part], clip)
        back = by_hand.round_trip(weight, grid)
        errors = by_hand.weight_error(weight, back), by_hand.output_error(weight, back, moments)
        told = (
            f"{int(bits)} bits, {part}, {scheme}, {clip:.0%} of the range: the weights are off by "
            f"{errors[0]:.1%}, the outputs by {errors[1]:.1%}; {(back == 0).mean():.0%} of the "
            "weights became 0."
        )
        plot.use_style()
        canvas, (axis, bars) = plt.subplots(ncols=2, figsize=(8.4, 3.8), width_ratios=(5, 2))
        draw.levels(axis, weight, grid)
        bars.bar(("weights", "outputs"), errors, color=(plot.PALETTE[1], plot.PALETTE[4]))
        bars.set(ylim=(0, max(1.05, *errors)), title="off by")
        bars.axhline(1, color=plot.PALETTE[7], lw=1)
        bars.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        return told, canvas

    part = w.SelectionSlider(options=list(PARTS), value="per channel", description="scales",
                             continuous_update=False)  # fmt: skip
    scheme = w.SelectionSlider(options=list(SCHEMES), description="scheme", continuous_update=False)
    return live.follow(show, [_bits(4), part, scheme, _clip(1.0)])


def _shown(form: str, *reach):
    """A slider (`live.slider`) whose number is written in a form."""
    made = live.slider(*reach)
    made.readout_format = form
    return made


def _bits(value: int):
    return _shown(".0f", value, 2, 8, 1, "bits")


def _clip(value: float):
    return _shown(".0%", value, 0.2, 1, 0.02, "share of the range kept")
