"""Worse copies: the same for every model, worse with strength."""

import numpy as np
import pytest

from qlab.core import corruptions


def test_noise_has_the_stated_strength_and_stays_in_range():
    grey, white = (np.full((64, 64, 3), v, np.uint8) for v in (128, 255))
    for strength, spread in ((1, 10), (2, 22), (3, 40)):
        assert corruptions.noise(grey, strength, 0).std() == pytest.approx(spread, rel=0.03)
        assert corruptions.noise(white, strength, 0).min() > 255 - 6 * spread


def test_blur_is_relative_to_the_image():
    small, large = (np.zeros((n, 2 * n, 3), np.uint8) for n in (100, 300))
    for image in (small, large):
        image[:, image.shape[1] // 2 :] = 255
    reach = [(corruptions.blur(i, 3, 0)[5, :, 0] % 255 != 0).mean() for i in (small, large)]
    assert reach[0] == pytest.approx(reach[1], rel=0.15) and 0 < reach[0] < 0.2
