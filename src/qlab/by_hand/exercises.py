"""The exercises of notebook 00: each takes an answer and says whether it is right, and why.

If the answer is None (not given yet) or right, the exercise returns a sentence; if it is wrong, it
raises an AssertionError with a sentence that names a common mistake.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from qlab.by_hand import grid as by_hand


class Exercise(NamedTuple):
    """A question with one answer, which is right to 1 %."""

    right: Any
    think: str  # a hint
    praise: str  # why it is right
    mistakes: Sequence[tuple[Any, str]]  # common wrong answers, and what is wrong with them

    def __call__(self, answer: Any) -> str:
        """What is to be said about an answer; AssertionError if it is wrong."""
        if answer is None:
            return f"Not answered yet. Think: {self.think}"
        if _same(answer, self.right):
            return f"Right. {self.praise[0].upper()}{self.praise[1:]}"
        for wrong, why in self.mistakes:
            assert not _same(answer, wrong), f"{answer}: {why}"
        raise AssertionError(f"{answer} is not it. Think: {self.think}")


_TEXTS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
scale, size, gradient, second_weight = (Exercise(**told) for told in _TEXTS.values())


def bits(answer: int | None, weight: np.ndarray) -> str:
    """Judge an answer: the fewest bits, symmetric per channel, whose weight error is below 1 %."""
    off = {count: _off(weight, count, per_channel=True) for count in by_hand.BITS}
    fewest = min(count for count, error in off.items() if error < 0.01)
    less, more = ", which is too much.", ", but fewer bits would do."
    return Exercise(
        fewest,
        "each bit halves the error. Start from the error at 4 bits and halve until it is "
        "below 1 %; or ask by_hand.weight_error.",
        f"{fewest - 1} bits are off by {off[fewest - 1]:.2%}, {fewest} by {off[fewest]:.2%}.",
        [(n, f"{n} bits are off by {e:.2%}{less if n < fewest else more}") for n, e in off.items()],
    )(answer)


def clip(answer: float | None, weight: np.ndarray) -> str:
    """Judge an answer: a share of the range whose weight error, at 2 bits per tensor, is at most a
    fiftieth above the smallest. QlabError if it is not above 0 and at most 1."""
    best = min(np.linspace(0.2, 1, 401), key=lambda share: _off(weight, 2, clip=share))
    answer = answer if answer is None else float(answer)
    least, reached = (_off(weight, 2, clip=c) for c in (best, 1 if answer is None else answer))
    return Exercise(
        answer if reached < 1.02 * least else best,
        "try many: for each clip, by_hand.symmetric(w, 2, clip=...), "
        "there and back, and the weight error. np.linspace(0.2, 1, 41) is fine enough.",
        f"off by {reached:.1%} instead of {_off(weight, 2):.1%}.",
        [(answer, f"the weights are off by {reached:.1%} then, where {least:.1%} is possible.")],
    )(answer)


def _off(weight: np.ndarray, *grid, **more) -> float:
    """Error of the weights on a symmetric grid."""
    made = by_hand.symmetric(weight, *grid, **more)
    return by_hand.weight_error(weight, by_hand.round_trip(weight, made))


def _same(answer: Any, other: Any) -> bool:
    """Whether the numbers agree to 1 %; of another length or kind they do not."""
    try:
        given, other = np.asarray(answer, float), np.asarray(other, float)
    except (TypeError, ValueError):
        return False
    return given.shape == other.shape and np.allclose(given, other, rtol=0.01, atol=1e-9)
