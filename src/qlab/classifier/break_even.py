"""After how many inferences quantization-aware training has paid for itself.

The seconds of the training, divided by what one inference saves.
"""

import math

import numpy as np

from qlab.core.stats import Estimate

_DRAWS = 20_000
_Z = 1.959964


def break_even(training: Estimate, before: Estimate, after: Estimate, seed: int = 0) -> Estimate:
    """Inferences until `training` is earned back by going from `before` to `after`, all seconds.

    Infinite where nothing is saved. The interval is by Monte Carlo: each figure is log-normal with
    the spread of its own interval (one without an interval counts as exact), independent of the
    others. Medians measured in turn on one machine drift together, which makes this interval rather
    too wide.
    """
    rng = np.random.default_rng(seed)
    spent, old, new = (_draw(e, rng) for e in (training, before, after))
    # Inverted: an interpolated quantile between two infinities is no number.
    low, high = np.quantile(_ratio(spent, old - new), [0.025, 0.975], method="inverted_cdf")
    value = float(_ratio(np.array(training.value), np.array(before.value - after.value)))
    return Estimate(value, min(float(low), value), max(float(high), value), _DRAWS)


def sentence(training: Estimate, before: Estimate, after: Estimate) -> str:
    """The answer in words, with its interval."""
    n, saved = break_even(training, before, after), before.value - after.value
    if math.isinf(n.value):
        costs = "saves nothing" if saved == 0 else f"costs {-saved:.3g} s more"
        tail = "" if math.isinf(n.low) else f", or after {_count(n.low)} at the best"
        return f"Never in time: an inference {costs}{tail}."
    return (
        f"After {_count(n.value)} inferences [{_count(n.low)}, {_count(n.high)}] in time: "
        f"{training.value:.3g} s spent once, {saved:.3g} s saved by each."
    )


def _draw(e: Estimate, rng: np.random.Generator) -> np.ndarray:
    """Draws from a log-normal with the estimate's median and the width of its interval."""
    spread = 0.0
    if e.value > 0 and math.isfinite(e.high):  # False for NaN too
        # An interval that reaches 0 has no logarithm there; its upper half stands for both.
        low, ends = (e.low, 2) if e.low > 0 else (e.value, 1)
        spread = math.log(e.high / low) / (ends * _Z)
    return e.value * np.exp(spread * rng.standard_normal(_DRAWS))


def _ratio(spent: np.ndarray, saved: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(saved > 0, spent / saved, np.inf)


def _count(n: float) -> str:
    """An inference count for reading, three digits at most."""
    if math.isinf(n):
        return "never"
    for size, word in ((1e9, " billion"), (1e6, " million")):
        if n >= size:
            return f"{n / size:.3g}{word}"
    return f"{math.ceil(n):,}" if n < 1000 else f"{round(n, 2 - int(math.log10(n))):,.0f}"
