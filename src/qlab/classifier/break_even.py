"""After how many inferences quantization-aware training has paid for itself.

Extra cost of the training, divided by what one inference saves. Once in seconds and, where both
were measured, once in joules; the two need not agree.
"""

import math
from typing import NamedTuple

import numpy as np

from qlab.core.errors import QlabError
from qlab.core.stats import Estimate

_DRAWS = 20_000
_Z = 1.959964
FREE = Estimate(0.0, 0.0, 0.0, 1)  # the cost of doing nothing
_LONG = {"s": "time", "J": "energy"}


class BreakEven(NamedTuple):
    """When the extra cost is earned back."""

    inferences: Estimate  # infinite where nothing is saved, 0 where nothing extra was spent
    extra: float  # spent once, seconds or joules
    saved: float  # by each inference; negative where it costs more
    unit: str  # "s" or "J"
    chance: float  # share of the draws in which it is ever earned back

    @property
    def sentence(self) -> str:
        """The answer in words, with its interval."""
        kind = _LONG[self.unit]
        n = self.inferences
        if math.isinf(n.value):
            costs = (
                "saves nothing" if self.saved == 0 else f"costs {-self.saved:.3g} {self.unit} more"
            )
            tail = "" if math.isinf(n.low) else f", or after {_count(n.low)} at the best"
            return f"Never in {kind}: an inference {costs}{tail}."
        if n.value == 0:
            return f"From the first inference in {kind}: the training cost nothing extra."
        return (
            f"After {_count(n.value)} inferences [{_count(n.low)}, {_count(n.high)}] in {kind}: "
            f"{self.extra:.3g} {self.unit} spent once, {self.saved:.3g} {self.unit} saved by each."
        )


def break_even(
    training: Estimate,
    before: Estimate,
    after: Estimate,
    instead: Estimate = FREE,
    unit: str = "s",
    seed: int = 0,
) -> BreakEven:
    """Inferences until `training` is earned back by going from `before` to `after` an inference.

    All in one unit, "s" or "J". `before` is the float model's latency (or energy) of one inference,
    `after` the quantized one's; `instead` is what was spent otherwise: nothing, a calibration, a
    float fine-tuning. The interval is by Monte Carlo: each figure is log-normal with the spread of
    its own interval (one without an interval counts as exact), independent of the others. Medians
    measured in turn on one machine drift together, which makes this interval rather too wide.
    QlabError: another unit, a figure that is not finite, a latency that is not positive.
    """
    if unit not in _LONG:
        raise QlabError(f"Costs are in 's' or 'J'; got {unit!r}.")
    costs = {"training": training, "before": before, "after": after, "instead": instead}
    for name, e in costs.items():
        if not (math.isfinite(e.value) and e.value >= 0) or (
            name in ("before", "after") and not e.value
        ):
            raise QlabError(
                f"The cost '{name}' is {e.value:g} {unit}; expected a finite cost above 0."
            )
    rng = np.random.default_rng(seed)
    drawn = {name: _draw(e, rng) for name, e in costs.items()}
    counts = _ratio(drawn["training"] - drawn["instead"], drawn["before"] - drawn["after"])
    # Inverted: an interpolated quantile between two infinities is no number.
    low, high = np.quantile(counts, [0.025, 0.975], method="inverted_cdf")
    extra, saved = training.value - instead.value, before.value - after.value
    value = float(_ratio(np.array([extra]), np.array([saved]))[0])
    inferences = Estimate(value, min(float(low), value), max(float(high), value), _DRAWS)
    return BreakEven(inferences, extra, saved, unit, float(np.isfinite(counts).mean()))


def _draw(e: Estimate, rng: np.random.Generator) -> np.ndarray:
    """Draws from a log-normal with the estimate's median and the width of its interval."""
    spread = 0.0
    if e.value > 0 and math.isfinite(e.high):  # False for NaN too
        # An interval that reaches 0 has no logarithm there; its upper half stands for both.
        low, ends = (e.low, 2) if e.low > 0 else (e.value, 1)
        spread = math.log(e.high / low) / (ends * _Z)
    return e.value * np.exp(spread * rng.standard_normal(_DRAWS))


def _ratio(extra: np.ndarray, saved: np.ndarray) -> np.ndarray:
    """Inferences; 0 where nothing extra was spent, else infinite where nothing is saved."""
    with np.errstate(divide="ignore", invalid="ignore"):
        counts = np.where(saved > 0, extra / saved, np.inf)
    return np.where(extra <= 0, 0.0, counts)


def _count(n: float) -> str:
    """An inference count for reading, three digits at most."""
    if math.isinf(n):
        return "never"
    for size, word in ((1e9, " billion"), (1e6, " million")):
        if n >= size:
            return f"{n / size:.3g}{word}"
    return f"{math.ceil(n):,}" if n < 1000 else f"{round(n, 2 - int(math.log10(n))):,.0f}"
