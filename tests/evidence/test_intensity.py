"""The scale of seven, its cut points and how it is written."""

import pytest

from qlab.core.errors import QlabError
from qlab.evidence import intensity
from qlab.evidence.intensity import CUTS, SCALE

PLACES = ["IF", "IF-WP", "WP", "WP-PO", "PO", "PO-SP", "SP"]
MIRRORED = ["IF", "WN-IF", "WN", "NE-WN", "NE", "SN-NE", "SN"]


@pytest.mark.parametrize("kind", CUTS)
def test_upper_bounds_are_inclusive_and_the_sign_gives_the_side(kind):
    for step, cut in enumerate(CUTS[kind]):
        for sign, places in ((1, PLACES), (-1, MIRRORED)):
            on = intensity.from_improvement(sign * cut, CUTS[kind])
            above = intensity.from_improvement(sign * (cut + 0.001), CUTS[kind])
            assert (intensity.label(on), intensity.label(above)) == (places[step], places[step + 1])
    assert intensity.label(intensity.from_improvement(0, CUTS[kind])) == "IF"


def test_an_improvement_is_positive_where_better():
    assert intensity.relative_improvement(0.9, 1.0, more_is_better=True) == pytest.approx(-10)
    assert intensity.relative_improvement(25, 100, more_is_better=False) == pytest.approx(75)
    assert intensity.relative_improvement(3, 2, more_is_better=False) == pytest.approx(-50)
    with pytest.raises(QlabError, match="baseline other than 0"):
        intensity.relative_improvement(1, 0, more_is_better=True)


def test_writing_and_reading_agree():
    for text in [*PLACES, *MIRRORED]:
        assert intensity.label(intensity.parse(text)) == text
        assert intensity.between(*intensity.ends(intensity.parse(text))) == intensity.parse(text)
    assert intensity.ends(intensity.parse("NE-WN")) == (-2, -1)
    assert [intensity.ends(frozenset([v]))[0] for v in SCALE] == [-3, -2, -1, 0, 1, 2, 3]
    assert [intensity.side(*e) for e in ((-2, -1), (-1, 0), (0, 0), (0, 1), (3, 3))] == [
        "worse", "worse", "none", "better", "better"]  # fmt: skip


@pytest.mark.parametrize("text", ["", "XX", "PO-WP", "WP-SP", "SN-NE-WN"])
def test_what_is_no_intensity_is_refused(text):
    with pytest.raises(QlabError, match="two neighbours joined by '-'"):
        intensity.parse(text)
