"""Combine evidence models: for each effect the intensity, the belief in it and the conflict.

Two readings of a combined mass function are in use, both with a threshold of 75 %. (a) `descent`:
P. S. M. dos Santos, thesis UFRJ 2015, pages 95 to 97. (b) `candidates`: what the method's tool
(Evidence Factory) does and the paper's table follows.
"""

from typing import NamedTuple

import pandas as pd

from qlab.evidence import dempster, intensity
from qlab.evidence.dempster import Mass
from qlab.evidence.intensity import FRAME, Intensity

THRESHOLD = 0.75  # share of the belief at which both readings prefer the smaller set


class Reading(NamedTuple):
    """An intensity as read off a mass function, and the belief in it."""

    intensity: Intensity
    belief: float


class Synthesis(NamedTuple):
    """What all evidence models of one effect say together."""

    models: int  # evidence models that have the effect
    studies: int  # studies that these come from
    reading: Reading  # by reading (b)
    reading_a: Reading  # by reading (a)
    plausibility: float  # of the intensity by (b)
    conflict: float  # K of all models at once, whatever their order


def descent(mass: Mass, threshold: float = THRESHOLD) -> Reading:
    """Reading (a): from the better half of the scale, drop end values while 75 % of belief remains.

    The halves are SN to IF and IF to SP; on a tie the lower interval is taken.
    """
    at = max([(-3, 0), (0, 3)], key=lambda ends: _bel(mass, *ends))
    while at[0] < at[1]:
        shorter = max([(at[0], at[1] - 1), (at[0] + 1, at[1])], key=lambda e: _bel(mass, *e))
        if _bel(mass, *shorter) < threshold * _bel(mass, *at):
            break
        at = shorter
    return Reading(intensity.between(*at), _bel(mass, *at))


def candidates(mass: Mass, threshold: float = THRESHOLD) -> Reading:
    """Reading (b): the set of largest belief among single values and pairs with mass of their own.

    A pair is dropped where one of its values has 75 % of its belief; on a tie the smaller set wins.
    """
    found = {intensity.between(i, i): b for i in range(-3, 4) if (b := _bel(mass, i, i)) > 0}
    for i in range(-3, 3):
        pair, both = intensity.between(i, i + 1), _bel(mass, i, i + 1)
        most = max(_bel(mass, i, i), _bel(mass, i + 1, i + 1))
        if mass.get(pair, 0) > 0 and most < threshold * both:
            found[pair] = both
    best = max(found, key=lambda answers: (found[answers], -len(answers)))
    return Reading(best, found[best])


def _bel(mass: Mass, low: int, high: int) -> float:
    """Belief in the values of the scale from `low` to `high`, rounded so that ties are ties."""
    return round(dempster.belief(mass, intensity.between(low, high)), 12)


def masses(rows: pd.DataFrame) -> list[Mass]:
    """Each evidence model as a mass function: belief on its intensity, the rest on the scale
    (a simple support function: Shafer 1976, page 75)."""
    given = zip(rows["intensity"], rows["belief"], strict=True)
    return [{FRAME: 1 - belief, intensity.parse(text): belief} for text, belief in given]


def synthesize(rows: pd.DataFrame, threshold: float = THRESHOLD) -> Synthesis:
    """The evidence models of one effect combined; `rows` as `models.read` gives them."""
    mass, conflict = dempster.combine(masses(rows))
    b, a = candidates(mass, threshold), descent(mass, threshold)
    plausibility = dempster.plausibility(mass, b.intensity)
    return Synthesis(len(rows), rows["study"].nunique(), b, a, plausibility, conflict)
