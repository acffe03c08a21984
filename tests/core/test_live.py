"""Boxes that follow controls: refusals are shown, texts are plain where there are no widgets."""

import pytest
from explored import shown, stands_still
from matplotlib import pyplot as plt

from qlab.core import live
from qlab.core.errors import QlabError


def show(place: int, names: tuple[str, ...]):
    if not names:
        raise QlabError("Pick a name, 1 < 2.")
    canvas, axis = plt.subplots()
    axis.plot(range(place), range(place))
    return f"<b>{place}</b> &lt; 9<br>of {', '.join(names)}", canvas


@pytest.fixture
def box():
    before = plt.get_fignums()
    yield live.follow(show, [live.counter(2, 5, "place"), live.several("abc", "names", "ab")])
    assert plt.get_fignums() == before, "a notebook would show a figure that is left open again"


def test_a_refusal_is_the_text_and_the_next_choice_shows_again(box):
    place, names, text, image = box.children
    drawn = shown(box)
    names.value = ()
    assert text.value == "Pick a name, 1 &lt; 2." and shown(box)[1] != drawn[1]
    names.value = ("a", "b")
    assert shown(box) == drawn
    stands_still(box)
    assert box._repr_mimebundle_()["text/plain"] == "2 < 9\nof a, b"


def test_controls_begin_where_they_are_told_to_and_hold_one_thing_or_none():
    assert live.counter(1, 0, "x").value == 1 and live.choice([], "x").value is None
    assert live.choice([("one", 1), ("two", 2)], "x", 2).value == 2
