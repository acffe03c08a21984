"""Dempster's rule of combination on any finite frame (Shafer 1976, chapters 2 and 3).

A mass function spreads 1 over sets of answers; mass on the whole frame says "I do not know". No
well-maintained library was found, and the rule is short.
"""

import math
from collections.abc import Iterable, Mapping
from functools import reduce
from itertools import combinations
from typing import NamedTuple

from qlab.core.errors import QlabError

Answers = frozenset[str]  # a subset of the frame of discernment
Mass = Mapping[Answers, float]  # belief committed to each subset; sums to 1

EMPTY: Answers = frozenset()  # the contradiction: its mass is the conflict


class Combined(NamedTuple):
    """What several mass functions say together."""

    mass: dict[Answers, float]
    conflict: float  # K of all of them at once, in [0, 1); no order of combining changes it


def conjunction(first: Mass, second: Mass) -> dict[Answers, float]:
    """Products of masses on the intersections, not normalized; the empty set's is the conflict."""
    found: dict[Answers, float] = {}
    for a, of_a in first.items():
        for b, of_b in second.items():
            found[a & b] = found.get(a & b, 0.0) + of_a * of_b
    return found


def combine(masses: Iterable[Mass]) -> Combined:
    """Dempster's rule over one or more mass functions (Shafer, equation 3.4).

    Normalizing once at the end gives the same masses as doing so pair by pair, and the conflict is
    then the empty set's mass over all of them: 1 minus the product of 1 - K over the steps, in any
    order. QlabError where nothing is left to agree on.
    """
    found = reduce(conjunction, masses)
    total = math.fsum(m for answers, m in found.items() if answers)
    if total <= 0:
        raise QlabError(
            "The evidence contradicts itself totally: no answer is left that all of it allows. "
            "A belief below 1 on either side leaves room for error."
        )
    mass = {answers: m / total for answers, m in found.items() if answers and m > 0}
    return Combined(mass, max(0.0, 1 - total))


def belief(mass: Mass, answers: Answers) -> float:
    """Mass that lies within `answers`: what speaks for them (Shafer, page 38)."""
    return math.fsum(m for focal, m in mass.items() if focal <= answers)


def plausibility(mass: Mass, answers: Answers) -> float:
    """Mass that touches `answers`: what does not speak against them (Shafer, page 43)."""
    return math.fsum(m for focal, m in mass.items() if focal & answers)


def pairwise_conflict(masses: Iterable[Mass]) -> float:
    """Mean K over all pairs; unlike the K of all at once it does not grow with their number."""
    pairs = [conjunction(a, b).get(EMPTY, 0.0) for a, b in combinations(masses, 2)]
    return math.fsum(pairs) / len(pairs) if pairs else 0.0


def last_step_conflicts(masses: Iterable[Mass]) -> list[float]:
    """K of the last pairwise step, for each mass function that could come last.

    Tools that combine pair by pair report this one: it depends on the order.
    """
    parts = list(masses)
    if len(parts) == 1:
        return [0.0]
    rests = [combine(parts[:i] + parts[i + 1 :]).mass for i in range(len(parts))]
    return [conjunction(r, last).get(EMPTY, 0.0) for r, last in zip(rests, parts, strict=True)]
