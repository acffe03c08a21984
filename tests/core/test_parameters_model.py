"""Parameters as one value: ranges, what was changed, where its records go."""

from typing import Literal

import pytest
from pydantic import ValidationError

from qlab.core.errors import QlabError
from qlab.core.parameters import Count, Parameters, Positive, Size


class Given(Parameters):
    profile: Literal["smoke", "mini"] = "mini"
    model: str = ""
    threads: Positive = 2
    seed: Count = 0
    rate: Size = 0.5


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("threads", 0, "'threads': .* greater than or equal to 1, not 0"),
        ("seed", 2**31, "'seed': .* less than 2147483648, not 2147483648"),
        ("rate", float("nan"), "'rate': .* finite number"),
        ("profile", "full", "'profile': Input should be 'smoke' or 'mini', not 'full'"),
        ("threads", "2", "'threads': .* valid integer, not '2'"),
    ],
)
def test_what_is_out_of_range_or_of_another_type_is_a_sentence(name, value, sentence):
    with pytest.raises(QlabError, match=f"The parameter {sentence}"):
        Given.of({name: value})


def test_a_cells_names_are_taken_and_others_are_none_of_its_business():
    given = Given.of({"seed": 3, "threads": 1, "pd": object(), "_": None})
    assert (given.seed, given.threads, given.profile) == (3, 1, "mini")
    with pytest.raises(ValidationError):
        Given(sed=3)  # by hand, a name that is wrong is an error


def test_only_a_changed_run_has_a_place_of_its_own():
    assert Given().place("tiny") == "mini" and Given(profile="smoke").place("tiny") == "smoke"
    changed = Given(seed=3)
    place = changed.place("tiny")
    assert place.startswith("mini-tiny-") and len(place) == len("mini-tiny-") + 8
    others = {Given(seed=4).place("tiny"), Given(threads=3).place("tiny"), place}
    assert len(others) == 3 and Given(seed=3).place("tiny") == place
    assert changed.place("tiny", without=["seed"]) == "mini"
