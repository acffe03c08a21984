"""How strong an effect is: from a change in percent to a place on a seven-point scale.

SN < NE < WN < IF < WP < PO < SP: strongly negative, negative, weakly negative, indifferent, weakly
positive, positive, strongly positive. An intensity is one of these or two neighbours, written
`WP-PO`. Scale and cut points: arXiv 2505.00816 and its replication package (`effect_intensity.py`).
"""

# From strongly negative through indifferent to strongly positive.
SCALE = ("SN", "NE", "WN", "IF", "WP", "PO", "SP")
FRAME = frozenset(SCALE)  # all answers
# Upper bounds in percent, inclusive, of IF, IF/weak, weak, weak/mid, mid, mid/strong.
CUTS = {"resource": (2, 10, 20, 30, 40, 50), "correctness": (2, 5, 10, 15, 20, 25)}
_MIDDLE = SCALE.index("IF")
Intensity = frozenset[str]  # one value of SCALE, or neighbours


def from_improvement(improvement: float, cuts: tuple[float, ...]) -> Intensity:
    """The intensity of a relative improvement in percent; its sign gives the side."""
    step = sum(abs(improvement) > cut for cut in cuts)  # 0: IF, 1: IF and weak, ... 6: strong
    side = 1 if improvement >= 0 else -1
    return frozenset(SCALE[_MIDDLE + side * half] for half in (step // 2, (step + 1) // 2))


def parse(text: str) -> Intensity:
    """`WP` or `WP-PO`, as `models` computes or checks it, as an intensity."""
    return frozenset(text.split("-"))


def label(intensity: Intensity) -> str:
    """An intensity in writing, lower value first; the inverse of `parse`."""
    return "-".join(value for value in SCALE if value in intensity)


def ends(intensity: Intensity) -> tuple[int, int]:
    """Lowest and highest value as numbers from -3 (SN) to 3 (SP)."""
    at = [SCALE.index(value) - _MIDDLE for value in intensity]
    return min(at), max(at)


def between(low: int, high: int) -> Intensity:
    """The intensity with these ends, from -3 (SN) to 3 (SP); the inverse of `ends`."""
    return frozenset(SCALE[_MIDDLE + low : _MIDDLE + high + 1])


def side(low: int, high: int) -> str:
    """`better`, `worse` or `none`: the side of the scale on which these ends lie."""
    return "better" if high > 0 else "worse" if low < 0 else "none"
