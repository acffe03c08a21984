"""Which layers to quantize for a byte budget, a loss bound, or both; from the fitted formulas.

Only what was measured is offered: values of k inside the range of the formulas' points. Predicted
intervals are those of one new model (`formulas.Fit.predict`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from qlab.classifier.formulas import Fits
from qlab.core import live, plot
from qlab.core.errors import QlabError
from qlab.core.stats import Estimate


class Plan(NamedTuple):
    """What to quantize, or, where nothing fits, what comes closest."""

    feasible: bool  # whether all bounds are kept
    where: str
    bits: int  # of the weights
    k: int  # layers to quantize
    layers: int  # that the model has
    size: Estimate  # bytes
    loss: Estimate  # share of the items
    max_bytes: float  # bound that was asked for; infinite: none
    max_loss: float  # bound that was asked for, a share of the items; infinite: none
    sure: bool  # whether the upper ends of the intervals were to keep the bounds too
    left_out: float  # by how much the loss's formula was off on values of k that it had not seen


def shares(layers: Sequence[int], where: str) -> np.ndarray:
    """Share of the parameters in the first or last k layers, for k = 0..N: [N + 1].

    `layers` are the layers' parameters from input to output.
    """
    ordered = layers if where == "first" else layers[::-1]
    return np.concatenate([[0], np.cumsum(ordered)]) / np.sum(layers)


def options(formulas: Fits, layers: Sequence[int]) -> pd.DataFrame:
    """Every k that the formulas cover, with its prediction.

    Columns where, bits, k, share, loss, loss_low, loss_high, size, size_low, size_high.
    """
    k, found = np.arange(len(layers) + 1), []
    for (where, bits), (loss, size) in formulas.items():
        share = shares(layers, where)
        table = pd.DataFrame({"where": where, "bits": bits, "k": k, "share": share})
        covered = np.ones(len(k), bool)
        for name, fit, x in (("loss", loss, k / len(layers)), ("size", size, share)):
            covered &= (x >= fit.lowest - 1e-9) & (x <= fit.highest + 1e-9)
            table[name], table[f"{name}_low"], table[f"{name}_high"] = fit.predict(x)
        found.append(table[covered])
    return pd.concat(found, ignore_index=True)


def plan(
    formulas: Fits,
    layers: Sequence[int],
    max_bytes: float = np.inf,
    max_loss: float = np.inf,
    sure: bool = False,
) -> Plan:
    """The best choice among all curves and k: bounded bytes, the least loss; else the least size.

    `max_loss` is a share (0.01 is one percentage point). `sure` asks that the upper ends of the
    predicted intervals keep both bounds, not only the predictions. Where nothing does, the plan is
    not feasible and holds what comes closest: the least loss inside the bytes, or else the smallest
    (or, for a loss bound alone, the least loss). QlabError: no bound at all.
    """
    if np.isinf(max_bytes) and np.isinf(max_loss):
        raise QlabError("A plan needs a bound: give max_bytes, max_loss or both.")
    table = options(formulas, layers)
    ends = ("size_high", "loss_high") if sure else ("size", "loss")
    small, good = table[ends[0]] <= max_bytes, table[ends[1]] <= max_loss
    feasible = bool((small & good).any())
    if feasible:
        order = ["size", "loss", "k"] if np.isinf(max_bytes) else ["loss", "size", "k"]
        row = table[small & good].sort_values(order).iloc[0]
    elif small.any():
        row = table[small].sort_values([ends[1], "size"]).iloc[0]
    else:
        row = table.sort_values([ends[0], "loss"]).iloc[0]
    where, bits, k = str(row["where"]), int(row["bits"]), int(row["k"])
    loss, size = (
        Estimate(*(float(row[name + end]) for end in ("", "_low", "_high")), fit.n)
        for name, fit in zip(("loss", "size"), formulas[where, bits], strict=True)
    )
    more = max_bytes, max_loss, sure, formulas[where, bits][0].left_out
    return Plan(feasible, where, bits, k, len(layers), size, loss, *more)


def describe(plan: Plan) -> str:
    """A plan in words; sizes in KB of 1,000 bytes, losses in percentage points."""
    bytes_, points = f"{plan.max_bytes / 1e3:,.1f} KB", f"{100 * plan.max_loss:.2f} points lost"
    bounds = {bytes_: plan.max_bytes, points: plan.max_loss}
    asked = " and ".join(f"at most {told}" for told, bound in bounds.items() if np.isfinite(bound))
    asked += ", with the upper ends of the intervals" if plan.sure else ""
    what = f"the {plan.where} {plan.k} of {plan.layers} layers to {plan.bits} bit"
    what = what if plan.k else "nothing (k = 0)"
    size, loss = np.array(plan.size[:3]) / 1e3, 100 * np.array(plan.loss[:3])
    result = "{:,.1f} KB [{:,.1f}, {:,.1f}], accuracy loss ".format(*size)
    result += "{:.2f} [{:.2f}, {:.2f}] points".format(*loss)
    result += f"; on values of k left out the formula was off by {100 * plan.left_out:.2f} points"
    if plan.feasible:
        return f"For {asked}: quantize {what}. Predicted: {result}."
    return f"Nothing measured gives {asked}. Closest: quantize {what}; {result}."


def picture(table: pd.DataFrame, plan: Plan) -> Figure:
    """Predicted loss against size of all `options`, the bounds, and the plan as a ring."""
    plot.use_style()
    canvas, axis = plt.subplots(figsize=(5.4, 3.4))
    for i, ((where, bits), curve) in enumerate(table.groupby(["where", "bits"], sort=False)):
        colour, x = plot.PALETTE[1 + i % 7], curve["size"] / 1e3
        axis.plot(x, 100 * curve["loss"], plot.MARKERS[i % 8], ls="-", ms=4, color=colour,
                  label=f"{where} k, {bits} bit")  # fmt: skip
        low, high = 100 * curve["loss_low"], 100 * curve["loss_high"]
        axis.fill_between(x, low, high, color=colour, alpha=0.12)
    axis.axvline(plan.max_bytes / 1e3, color="black", ls="--", lw=1)
    axis.axhline(100 * plan.max_loss, color="black", ls="--", lw=1)
    ring = "black" if plan.feasible else plot.PALETTE[3]
    axis.plot(plan.size.value / 1e3, 100 * plan.loss.value, "o", ms=13, mfc="none", mec=ring, mew=2)
    axis.set(xlabel="size (KB)", ylabel="accuracy loss (points)")
    axis.legend(frameon=False)
    return canvas


def widget(formulas: Fits, layers: Sequence[int]):
    """Sliders for both bounds and a choice of the curve; text and picture follow at once.

    A box (`live.follow`) whose children are curve, budget (KB), bound (points), sure, text, image.
    """
    import ipywidgets as w

    table = options(formulas, layers)
    curves = [(f"{where} k layers, {bits} bit", [(where, bits)]) for where, bits in formulas]

    def show(curve: list, budget: float, bound: float, sure: bool) -> tuple[str, Figure]:
        chosen = {key: formulas[key] for key in curve}
        found = plan(chosen, layers, 1e3 * budget, bound / 100, sure)
        return describe(found), picture(options(chosen, layers), found)

    kilobytes, points = table["size"] / 1e3, 100 * table["loss"]
    least, most = float(kilobytes.min()) * 0.9, float(kilobytes.max()) * 1.05
    low, top = min(float(points.min()), 0.0), max(float(points.max()), 0.0) + 0.1
    controls = [
        live.choice([("all", list(formulas)), *curves], "quantize"),
        live.slider(float(kilobytes.median()), least, most, 0.1, "KB at most"),
        live.slider(top, low, top, (top - low) / 100, "points at most"),
        w.Checkbox(False, description="hold with the upper ends of the intervals"),
    ]
    return live.follow(show, controls)
