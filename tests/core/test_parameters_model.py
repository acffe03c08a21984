"""Parameters as one value: ranges and types. Rooms test their own, and where records go."""

import pytest
from pydantic import ValidationError

from qlab.core.errors import QlabError
from qlab.core.parameters import Count, Parameters, Positive, Size


class Given(Parameters):
    threads: Positive = 2
    seed: Count = 0
    rate: Size = 0.5


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("seed", 2**31, "'seed': .* less than 2147483648, not 2147483648"),
        ("rate", float("nan"), "'rate': .* finite number"),
        ("threads", "2", "'threads': .* valid integer, not '2'"),
    ],
)
def test_what_is_out_of_range_or_of_another_type_is_a_sentence(name, value, sentence):
    with pytest.raises(QlabError, match=f"The parameter {sentence}"):
        Given.of({name: value})


def test_a_cells_names_are_taken_and_others_are_none_of_its_business():
    given = Given.of({"seed": 3, "threads": 1, "pd": object(), "_": None})
    assert (given.seed, given.threads, given.rate) == (3, 1, 0.5)
    with pytest.raises(ValidationError):
        Given(sed=3)  # by hand, a name that is wrong is an error
