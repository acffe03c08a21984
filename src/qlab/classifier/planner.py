"""Which layers to quantize for a byte budget, a loss bound, or both; from the fitted formulas.

Only what was measured is offered: values of k inside the range of the formulas' points. Predicted
intervals are those of one new model (`formulas.Fit.predict`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from qlab.classifier.formulas import Fits
from qlab.core.errors import QlabError


def options(formulas: Fits, layers: Sequence[int]) -> pd.DataFrame:
    """Every k that the formulas cover, with its prediction; `layers` are their parameters, from
    the input on.

    Columns where, bits, k, share, left_out (by how much the loss's formula was off on k that it had
    not seen), and loss, loss_low, loss_high as a share, size, size_low, size_high in bytes.
    """
    k, found = np.arange(len(layers) + 1), []
    for (where, bits), (loss, size) in formulas.items():
        ordered = layers if where == "first" else layers[::-1]
        share = np.concatenate([[0], np.cumsum(ordered)]) / np.sum(layers)
        about = {"where": where, "bits": bits, "k": k, "share": share, "left_out": loss.left_out}
        table, covered = pd.DataFrame(about), np.ones(len(k), bool)
        for name, fit, x in (("loss", loss, k / len(layers)), ("size", size, share)):
            covered &= (x >= fit.lowest - 1e-9) & (x <= fit.highest + 1e-9)
            table[name], table[f"{name}_low"], table[f"{name}_high"] = fit.predict(x)
        found.append(table[covered])
    return pd.concat(found, ignore_index=True)


def plan(
    formulas: Fits, layers: Sequence[int], max_bytes: float = np.inf, max_loss: float = np.inf
) -> pd.Series:
    """The best row of `options`: of bounded bytes that of the least loss, else the least size.

    `max_loss` is a share (0.01 is one percentage point). `feasible` says whether it keeps all
    bounds; where none does, it is what comes closest: the least loss inside the bytes, or else the
    smallest (or, for a loss bound alone, the least loss). QlabError: no bound at all.
    """
    if np.isinf(max_bytes) and np.isinf(max_loss):
        raise QlabError("A plan needs a bound: give max_bytes, max_loss or both.")
    table = options(formulas, layers)
    small, good = table["size"] <= max_bytes, table["loss"] <= max_loss
    if feasible := bool((small & good).any()):
        order = ["size", "loss", "k"] if np.isinf(max_bytes) else ["loss", "size", "k"]
        row = table[small & good].sort_values(order).iloc[0]
    elif small.any():
        row = table[small].sort_values(["loss", "size"]).iloc[0]
    else:
        row = table.sort_values(["size", "loss"]).iloc[0]
    more = {"feasible": feasible, "max_bytes": max_bytes, "max_loss": max_loss}
    return pd.concat([row, pd.Series(more | {"layers": len(layers)})])


def describe(plan: pd.Series) -> str:
    """A plan in words; sizes in KB of 1,000 bytes, losses in percentage points."""
    bounds = {f"{plan.max_bytes / 1e3:,.1f} KB": plan.max_bytes}
    bounds |= {f"{100 * plan.max_loss:.2f} points lost": plan.max_loss}
    asked = " and ".join(f"at most {told}" for told, bound in bounds.items() if np.isfinite(bound))
    what = f"the {plan['where']} {plan.k} of {plan.layers} layers to {plan.bits} bit"
    what = what if plan.k else "nothing (k = 0)"
    size, loss = (plan[[n, f"{n}_low", f"{n}_high"]].astype(float) for n in ("size", "loss"))
    result = "{:,.1f} KB [{:,.1f}, {:,.1f}], accuracy loss ".format(*size / 1e3)
    result += "{:.2f} [{:.2f}, {:.2f}] points".format(*100 * loss)
    result += f"; on values of k left out the formula was off by {100 * plan.left_out:.2f} points"
    if plan.feasible:
        return f"For {asked}: quantize {what}. Predicted: {result}."
    return f"Nothing measured gives {asked}. Closest: quantize {what}; {result}."
