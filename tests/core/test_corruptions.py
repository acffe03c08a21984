"""Worse copies: the same for every model, worse with strength."""

import numpy as np
import pytest

from qlab.core import corruptions

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)


@pytest.mark.parametrize("kind", list(corruptions.KINDS))
def test_more_strength_is_further_from_the_image_at_32_pixels(kind):
    made = [corruptions.corrupt(IMAGE, kind, strength, 5) for strength in corruptions.STRENGTHS]
    assert all(one.shape == IMAGE.shape and one.dtype == np.uint8 for one in made)
    away = [np.abs(one - IMAGE.astype(float)).mean() for one in made]
    assert 0 < away[0] < away[1] < away[2]


def test_noise_depends_on_the_seed_alone():
    grey = np.full((32, 32, 3), 128, np.uint8)
    one, same, other = (corruptions.corrupt(grey, "noise", 2, seed) for seed in (0, 0, 1))
    assert (one == same).all() and (one != other).mean() > 0.9
