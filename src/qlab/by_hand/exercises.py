"""The exercises of notebook 00: each takes an answer and says whether it is right, and why.

If the answer is None (not given yet) or right, the exercise returns a sentence; if it is wrong, it
raises an AssertionError with a sentence that names a common mistake.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from qlab.by_hand import grid as by_hand


class Exercise(NamedTuple):
    """A question with one answer, which is right to 1 %."""

    right: Any
    think: str  # a hint
    praise: str  # why it is right
    mistakes: Mapping[Any, str]  # common wrong answers, and what is wrong with them

    def __call__(self, answer: Any) -> str:
        """What is to be said about an answer; AssertionError if it is wrong."""
        if answer is None:
            return f"Not answered yet. Think: {self.think}"
        if _same(answer, self.right):
            return f"Right. {self.praise[0].upper()}{self.praise[1:]}"
        for wrong, why in self.mistakes.items():
            assert not _same(answer, wrong), f"{answer}: {why}"
        raise AssertionError(f"{answer} is not it. Think: {self.think}")


scale = Exercise(
    (0.16, 6),  # scale and zero-point for weights from -0.9 to 1.5, asymmetric, 4 bits
    "4 bits have 16 levels; how many steps lie between the first and the last? Then: "
    "which integer does 0 fall on, if -0.9 falls on 0?",
    "2.4 of range in 15 steps, and 0.9 / 0.16 = 5.6 rounds to 6.",
    {(0.15, 6): "16 levels have 15 steps between them, as 16 posts have 15 gaps.",
     (0.16, 5.625): "the zero-point must be an integer, or 0 itself could not be stored.",
     (1.5 / 7, 0): "that is the symmetric grid; the asymmetric one goes from -0.9 to 1.5."},
)  # fmt: skip
size = Exercise(
    280,  # bytes of 16 x 27 weights of 4 bits with a float32 scale for each of 16 channels
    "432 weights, two of them in a byte; and what must be stored beside them?",
    "216 bytes of weights and 64 of scales: 5.2 bits a weight, not 4. Large layers pay "
    "less: the scales are shared by thousands of weights.",
    {216: "nobody could turn these integers back into weights: the scales are missing.",
     220: "that is one scale for the tensor; here each of the 16 channels has its own.",
     496: "4 bits are half a byte."},
)  # fmt: skip
gradient = Exercise(
    (2, 0),  # straight-through, of weights 0.3 and 5 on levels from -1 to 1; upstream 2
    "rounding counts as the identity. Does clipping, too?",
    "rounding hands the gradient on; a clipped weight has no say, for wherever it goes "
    "out there, the level is the same.",
    {(0, 0): "that is what calculus says, and nothing would be learned.",
     (2, 2): "5 is clipped to 1: moving it a little changes nothing, really nothing.",
     (2, 1): "a clipped weight's gradient does not depend on the level that it sticks to."},
)  # fmt: skip
second_weight = Exercise(
    0.8,  # new w2 of (0.4, 0.4) after w1 was rounded to 0, if both inputs are always equal
    "the output is w1 x + w2 x. It was 0.8 x; w1 is 0 now. Which w2 keeps it?",
    "then 0.8 rounds to 1 and the output is off by 0.2 x; rounding each by itself gives "
    "(0, 0), off by 0.8 x.",
    {0.4: "then nothing makes good what w1 lost.",
     1: "that is where it ends, after rounding; the question is where it goes before.",
     0: "that is rounding each weight by itself."},
)  # fmt: skip


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
        {n: f"{n} bits are off by {e:.2%}{less if n < fewest else more}" for n, e in off.items()},
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
        {answer: f"the weights are off by {reached:.1%} then, where {least:.1%} is possible."},
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
