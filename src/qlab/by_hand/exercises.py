"""The exercises of notebook 00: each takes an answer and says what is right, or wrong, about it.

Each returns a sentence where the answer is None (how to think) or right, and raises AssertionError
with a sentence where it is wrong; for a usual mistake, the sentence names it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from qlab.by_hand import grid as by_hand

ENOUGH = 0.01  # relative: an answer rounded to three digits is right
TARGET = 0.01  # weight error asked for in `bits`
NEAR_BEST = 1.02  # times the smallest error: a clip that good is right


class Exercise(NamedTuple):
    """A question with one answer."""

    right: Any  # the answer
    think: str  # what to think of
    praise: str  # why it is right
    mistakes: Mapping[Any, str]  # the usual ones, and what is wrong with them

    def __call__(self, answer: Any) -> str:
        """What is to be said of an answer."""
        if answer is None:
            return f"Not answered yet. Think: {self.think}"
        if _same(answer, self.right):
            return f"Right. {self.praise[0].upper()}{self.praise[1:]}"
        for wrong, why in self.mistakes.items():
            assert not _same(answer, wrong), f"{answer}: {why}"
        raise AssertionError(f"{answer} is not it. Think: {self.think}")


# (scale, zero-point) for weights from -0.9 to 1.5 on an asymmetric grid of 4 bits.
scale = Exercise(
    (0.16, 6),
    "4 bits have 16 levels; how many steps lie between the first and the last? Then: "
    "which integer does 0 fall on, if -0.9 falls on 0?",
    "2.4 of range in 15 steps, and 0.9 / 0.16 = 5.6 rounds to 6.",
    {
        (0.15, 6): "16 levels have 15 steps between them, as 16 posts have 15 gaps.",
        (0.16, 5.625): "the zero-point must be an integer, or 0 itself could not be stored.",
        (1.5 / 7, 0): "that is the symmetric grid; the asymmetric one goes from -0.9 to 1.5.",
    },
)
# Bytes of 16 x 27 weights of 4 bits with a float32 scale for each of 16 channels.
size = Exercise(
    280,
    "432 weights, two of them in a byte; and what must be stored beside them?",
    "216 bytes of weights and 64 of scales: 5.2 bits a weight, not 4. Large layers pay "
    "less: the scales are shared by thousands of weights.",
    {
        216: "nobody could turn these integers back into weights: the scales are missing.",
        220: "that is one scale for the tensor; here each of the 16 channels has its own.",
        496: "4 bits are half a byte.",
    },
)
# Straight-through gradients of two weights, 0.3 and 5, on levels from -1 to 1; upstream 2.
gradient = Exercise(
    (2, 0),
    "rounding counts as the identity. Does clipping, too?",
    "rounding hands the gradient on; a clipped weight has no say, for wherever it goes "
    "out there, the level is the same.",
    {
        (0, 0): "that is what calculus says, and nothing would be learned.",
        (2, 2): "5 is clipped to 1: moving it a little changes nothing, really nothing.",
        (2, 1): "a clipped weight's gradient does not depend on the level that it sticks to.",
    },
)
# Where w2 of (0.4, 0.4) goes once w1 was rounded to 0, if both inputs are always equal.
second_weight = Exercise(
    0.8,
    "the output is w1 x + w2 x. It was 0.8 x; w1 is 0 now. Which w2 keeps it?",
    "then 0.8 rounds to 1 and the output is off by 0.2 x; rounding each by itself gives "
    "(0, 0), off by 0.8 x.",
    {
        0.4: "then nothing makes good what w1 lost.",
        1: "that is where it ends, after rounding; the question is where it goes before.",
        0: "that is rounding each weight by itself.",
    },
)


def bits(answer: float | None, weight: np.ndarray) -> str:
    """Fewest bits with which the weights are off by less than 1 %, symmetric, per channel."""
    errors = {}
    for count in range(2, 17):
        grid = by_hand.symmetric(weight, count, per_channel=True)
        errors[count] = by_hand.weight_error(weight, by_hand.round_trip(weight, grid))
    fewest = min(count for count, error in errors.items() if error < TARGET)
    more, less = ", but fewer bits would do.", ", which is too much."
    return Exercise(
        fewest,
        "each bit halves the error. Start from the error at 4 bits and halve until it is "
        "below 1 %; or ask by_hand.weight_error.",
        f"{fewest - 1} bits are off by {errors[fewest - 1]:.2%}, {fewest} by {errors[fewest]:.2%}.",
        {
            n: f"{n} bits are off by {e:.2%}{more if n > fewest else less}"
            for n, e in errors.items()
        },
    )(answer)


def clip(answer: float | None, weight: np.ndarray) -> str:
    """A share of the range whose weight error is the smallest, or nearly, at 2 bits per tensor."""
    if answer is None:
        return (
            "Not answered yet. Think: try many: for each clip, by_hand.symmetric(w, 2, clip=...), "
            "there and back, and the weight error. np.linspace(0.2, 1, 41) is fine enough."
        )
    assert 0 < answer <= 1, f"{answer} is no share of the range: it lies above 0 and is 1 at most."
    reached = _clipped_error(weight, answer)
    best = min(_clipped_error(weight, c) for c in np.linspace(0.2, 1, 401))
    side = "it clips too much" if answer < 0.4 else "its steps are still too wide"
    assert reached < NEAR_BEST * best, (
        f"with {answer:g} of the range the weights are off by {reached:.1%}, where {best:.1%} is "
        f"possible: {side}."
    )
    return f"Right. Off by {reached:.1%} instead of {_clipped_error(weight, 1):.1%}."


def _clipped_error(weight: np.ndarray, share: float) -> float:
    grid = by_hand.symmetric(weight, 2, clip=share)
    return by_hand.weight_error(weight, by_hand.round_trip(weight, grid))


def _same(answer: Any, other: Any) -> bool:
    """Whether the numbers agree to three digits; of another length or kind they do not."""
    try:
        given = np.asarray(answer, float)
    except (TypeError, ValueError):
        return False
    return given.shape == np.shape(other) and np.allclose(given, other, rtol=ENOUGH, atol=1e-9)
