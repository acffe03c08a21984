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
_SEEN = 1 + stats.norm.ppf(0.8) / stats.norm.ppf(0.975)  # half intervals, for 80 % power


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
        return float(_SEEN * half) if half > 0 else None

    @property
    def _law(self):
        """What the interval follows: of a time, Student's t over processes, else the normal law."""
        return stats.t(self.estimate.n - 1) if self.clock and self.estimate.n > 1 else stats.norm

    @property
    def _even(self) -> list[float]:
        """Value, ends, bounds; of a time in logarithms, where `geometric_mean` has even sides."""
        found = [*self.estimate[:3], self.low, self.high]
        logs = self.clock and self.estimate.low > 0
        return [math.log(x) if x > 0 else -math.inf for x in found] if logs else found

    @property
    def p(self) -> float | None:
        """Two-sided p value for a true value on the nearest bound, under .05 exactly where the 95 %
        interval keeps clear of that bound; None for counted figures."""
        if self.estimate.low == self.estimate.high:
            return None
        value, low, high, least, most = self._even
        # Each side of the interval is as long as the quantile times the standard error.
        sides = [(value - least, value - low if value > least else high - value)]
        sides += [(most - value, high - value if value < most else value - low)]
        t = [abs(d) / half for d, half in sides if half > 0 and (self.margin > 0 or d <= 0)]
        return float(2 * self._law.sf(self._law.ppf(0.975) * min(t))) if t else 0.0

    def verdict(self, tests: int = 1) -> str:
        """The verdict on this term alone, as one of so many `tests` (Bonferroni)."""
        if self.p is not None and self.p >= 0.05 / tests:
            return UNDECIDED
        return HOLDS if self.margin > 0 else NOT


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
