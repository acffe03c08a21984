"""Terms of a claim, and how a verdict follows from them.

A term holds if its whole 95 % interval lies in the range that the claim wants, and does not hold if
all of it lies outside; one that straddles a bound decides nothing. So "no difference" holds only as
equivalence within a stated margin (Schuirmann 1987), never because none was seen.

A claim of several terms holds if all do, which needs no allowance for their number (Berger 1982);
one term refutes it, with its interval widened for their number (Bonferroni). With the quantifier
"any" it is the other way round. Each verdict has the p value at which it turns (for Holm 1979).
"""

import math
from typing import NamedTuple

from scipy import stats

from qlab.core.stats import Estimate

VERDICTS = HOLDS, NOT, UNDECIDED, UNTESTED = "holds", "does_not_hold", "undecided", "not_tested"
_Z = float(stats.norm.ppf(0.975))
# A true distance from the bound of this many half intervals is detected with 80 % power.
_SEEN = float(1 + stats.norm.ppf(0.8) / _Z)


class Term(NamedTuple):
    """One estimate and the open range (low, high) in which the claim wants it."""

    name: str  # what was estimated, as the ledger calls it
    estimate: Estimate
    form: str = "plain"  # or x (a ratio), points (a difference of shares), share, r (a correlation)
    unit: str = "1"  # of what was recorded; a ratio of it has none
    clock: bool = False  # whether a clock or a meter had a part in it
    low: float = -math.inf
    high: float = math.inf

    @property
    def margin(self) -> float:
        """Distance of the value from the nearest bound; negative outside."""
        return min(self.estimate.value - self.low, self.high - self.estimate.value)

    @property
    def smallest_effect(self) -> float | None:
        """Smallest distance from the bound seen with 80 % power; None for counted figures."""
        half = (self.estimate.high - self.estimate.low) / 2
        return _SEEN * half if half > 0 else None

    @property
    def p(self) -> float | None:
        """Two-sided p value for a true value on the nearest bound, under .05 exactly where the 95 %
        interval keeps clear of that bound; None for counted figures."""
        value, low, high, _ = self.estimate
        if low == high:
            return None
        # Each side of the interval is 1.96 standard errors long.
        sides = [(value - self.low, value - low if value > self.low else high - value)]
        sides += [(self.high - value, high - value if value < self.high else value - low)]
        inside = all(distance > 0 for distance, _ in sides)
        z = [abs(d) / half for d, half in sides if half > 0 and (inside or d <= 0)]
        return float(2 * stats.norm.sf(_Z * min(z))) if z else 0.0

    def verdict(self, tests: int = 1) -> str:
        """The verdict on this term alone, as one of so many `tests`."""
        value, low, high, _ = self.estimate
        wider = float(stats.norm.ppf(1 - 0.025 / tests)) / _Z  # Bonferroni
        low, high = (value + wider * (end - value) for end in (low, high))
        if self.low < low and high < self.high:
            return HOLDS
        return NOT if high <= self.low or low >= self.high else UNDECIDED


class Decision(NamedTuple):
    """A verdict on a claim."""

    verdict: str  # one of VERDICTS
    term: Term  # that decides it
    p: float | None  # p value at which it would turn; None where only counted figures decided


def decide(terms: list[Term], quantifier: str = "all") -> Decision:
    """The verdict on a claim from its terms: all must keep their bounds or, with "any", one."""
    whole, single, worst = (HOLDS, NOT, min) if quantifier == "all" else (NOT, HOLDS, max)
    open_ = [t for t in terms if t.verdict() != whole]
    decisive = [t for t in terms if t.verdict(len(terms)) == single]
    verdict = whole if not open_ else single if decisive else UNDECIDED
    deciding = {whole: terms, single: decisive, UNDECIDED: open_}[verdict]
    p = max((t.p for t in deciding if t.p is not None), default=None)
    if verdict == single and p is not None:  # the clearest, adjusted for their number
        p = min(1.0, len(terms) * min(t.p for t in deciding if t.p is not None))
    return Decision(verdict, worst(deciding, key=lambda t: t.margin), p)
