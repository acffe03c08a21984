"""The one exception that users are meant to read."""


class QlabError(Exception):
    """What was expected, what came, where, and what to do, in one sentence.

    Raised for everything a user can mend: bad input, a missing file, a full
    disk. Anything else that escapes is a defect of qlab and keeps its traceback.
    """


_ENDLESS = 2**31  # TensorFlow, PyTorch and LiteRT take no larger whole numbers


def refuse_negative(**numbers: float) -> None:
    """QlabError naming the first parameter that is below 0, or too large to be meant."""
    _refuse_outside(0, numbers)


def refuse_below_one(**numbers: float) -> None:
    """QlabError naming the first parameter that is below 1, or too large to be meant."""
    _refuse_outside(1, numbers)


def _refuse_outside(lowest: int, numbers: dict[str, float]) -> None:
    for name, number in numbers.items():
        if number < lowest:
            raise QlabError(f"The parameter '{name}' must be {lowest} or more, not {number}.")
        if number >= _ENDLESS:
            raise QlabError(f"The parameter '{name}' must be below 2^31, not {number}.")
