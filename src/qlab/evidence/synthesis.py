"""Evidence models combined: for each effect the intensity, the belief in it and the conflict.

Two readings of a combined mass function are in use, both with a threshold of 75 %. (a) `descent`:
P. S. M. dos Santos, thesis UFRJ 2015, pages 95 to 97. (b) `candidates`: what the method's tool
(Evidence Factory) does and the paper's table follows.
"""

from typing import NamedTuple

import pandas as pd

from qlab.evidence import dempster, intensity
from qlab.evidence.dempster import Mass
from qlab.evidence.intensity import FRAME, SCALE, Intensity
from qlab.evidence.models import EFFECTS

THRESHOLD = 0.75  # of the belief that both readings ask for
# Intensity and belief of the ten aggregated effects in arXiv 2505.00816.
PUBLISHED = {
    "accuracy": ("WN", 0.90),
    "f1": ("IF", 0.83),
    "storage_size": ("SP", 1.00),
    "inference_latency": ("IF-WP", 0.98),
    "inference_energy": ("WP", 0.69),
    "inference_power": ("WP", 0.93),
    "gpu_energy": ("PO-SP", 0.95),
    "gpu_power": ("IF-WP", 0.96),
    "gpu_memory_utilisation": ("PO-SP", 0.71),
    "gpu_utilisation": ("IF", 0.74),
}


class Reading(NamedTuple):
    """The intensity that is read off, and the belief in it."""

    intensity: Intensity
    belief: float


class Synthesis(NamedTuple):
    """What all evidence models of one effect say together."""

    models: int  # evidence models that have the effect
    studies: int  # that they come from
    reading: Reading  # (b)
    reading_a: Reading  # (a)
    plausibility: float  # of the intensity of (b)
    conflict: float  # K of all models at once, whatever their order
    pairwise: float  # mean K of two models
    last_steps: tuple[float, float]  # lowest and highest K of the last step, over who comes last


def descent(mass: Mass, threshold: float = THRESHOLD) -> Reading:
    """Reading (a): from the better half of the scale, one value shorter while 75 % remains.

    The halves are SN to IF and IF to SP; on a tie the lower interval is taken.
    """
    at = max([(0, 3), (3, 6)], key=lambda ends: _bel(mass, *ends))
    while at[0] < at[1]:
        shorter = max([(at[0], at[1] - 1), (at[0] + 1, at[1])], key=lambda e: _bel(mass, *e))
        if _bel(mass, *shorter) < threshold * _bel(mass, *at):
            break
        at = shorter
    return Reading(_interval(*at), _bel(mass, *at))


def candidates(mass: Mass, threshold: float = THRESHOLD) -> Reading:
    """Reading (b): the largest belief among single values and pairs with mass of their own.

    A pair is dropped where one of its values has 75 % of its belief; on a tie the smaller set wins.
    """
    found = {_interval(i, i): _bel(mass, i, i) for i in range(len(SCALE)) if _bel(mass, i, i) > 0}
    for i in range(len(SCALE) - 1):
        both = _bel(mass, i, i + 1)
        most = max(_bel(mass, i, i), _bel(mass, i + 1, i + 1))
        if mass.get(_interval(i, i + 1), 0) > 0 and most < threshold * both:
            found[_interval(i, i + 1)] = both
    best = max(found, key=lambda answers: (found[answers], -len(answers)))
    return Reading(best, found[best])


def _interval(low: int, high: int) -> Intensity:
    return frozenset(SCALE[low : high + 1])


def _bel(mass: Mass, low: int, high: int) -> float:
    """Belief in the values of the scale from `low` to `high`, rounded so that ties are ties."""
    return round(dempster.belief(mass, _interval(low, high)), 12)


def masses(rows: pd.DataFrame) -> list[Mass]:
    """Each evidence model as a mass function: belief on its intensity, the rest on the scale."""
    return [
        dempster.simple_support(intensity.parse(strength), belief, FRAME)
        for strength, belief in zip(rows["intensity"], rows["belief"], strict=True)
    ]


def synthesize(rows: pd.DataFrame, threshold: float = THRESHOLD) -> Synthesis:
    """The evidence models of one effect combined; `rows` as `models.read` gives them."""
    parts = masses(rows)
    mass, conflict = dempster.combine(parts)
    reading = candidates(mass, threshold)
    steps = dempster.last_step_conflicts(parts)
    return Synthesis(
        models=len(rows),
        studies=rows["study"].nunique(),
        reading=reading,
        reading_a=descent(mass, threshold),
        plausibility=dempster.plausibility(mass, reading.intensity),
        conflict=conflict,
        pairwise=dempster.pairwise_conflict(parts),
        last_steps=(min(steps), max(steps)),
    )


def by_effect(table: pd.DataFrame) -> dict[str, Synthesis]:
    """One synthesis per effect that the table has any belief in, in the order of `EFFECTS`."""
    parts = dict(list(table[table["belief"] > 0].groupby("effect")))
    return {effect: synthesize(parts[effect]) for effect in EFFECTS if effect in parts}


def by_technique(table: pd.DataFrame) -> dict[str, dict[str, Synthesis]]:
    """One synthesis per technique and effect."""
    return {t: by_effect(table[table["technique"] == t]) for t in sorted(set(table["technique"]))}
