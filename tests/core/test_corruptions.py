"""Worse copies are those of `corruptions`, the same for every model, worse with strength."""

import numpy as np
import pytest

from qlab.core import corruptions, robustness
from qlab.core.errors import QlabError

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)


def test_all_kinds_at_all_strengths_by_name():
    sets = dict(robustness.corrupted_sets(IMAGES))
    assert list(sets) == robustness.names() and len(sets) == 12
    assert list(sets)[:4] == ["noise1", "noise2", "noise3", "blur1"]
    for copies in sets.values():
        assert copies.shape == IMAGES.shape and copies.dtype == np.uint8
    expected = corruptions.corrupt(IMAGES[2], "jpeg", 3, 2)
    np.testing.assert_array_equal(sets["jpeg3"][2], expected)


def test_noise_depends_on_the_images_place_alone():
    grey = np.full((2, 32, 32, 3), 128, np.uint8)
    both = robustness.corrupted(grey, "noise2")
    np.testing.assert_array_equal(both[:1], robustness.corrupted(grey[:1], "noise2"))
    assert (both[0] != both[1]).mean() > 0.9


@pytest.mark.parametrize("kind", list(corruptions.KINDS))
def test_more_strength_is_further_from_the_image_at_32_pixels(kind):
    away = [
        np.abs(robustness.corrupted(IMAGES, f"{kind}{strength}") - IMAGES.astype(float)).mean()
        for strength in corruptions.STRENGTHS
    ]
    assert 0 < away[0] < away[1] < away[2]


@pytest.mark.parametrize("name", ["fog1", "noise4", "noise", ""])
def test_unknown_names_are_refused(name):
    with pytest.raises(QlabError, match="there are noise1, noise2"):
        robustness.corrupted(IMAGES, name)
