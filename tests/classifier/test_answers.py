"""Probabilities mean what they say; ECE is the published one."""

import numpy as np
import pytest
from scipy.special import softmax

from qlab.classifier import answers
from qlab.core.errors import QlabError


def test_logits_get_a_softmax():
    logits = np.random.default_rng(2).normal(0, 3, (5, 4)).astype(np.float32)
    found = answers.as_probabilities(logits, "a model with logits")
    np.testing.assert_allclose(found, softmax(logits.astype(float), 1), atol=1e-6)
    kept = np.float32([[0.99, 0.0], [0.5, 0.5], [0.25, 0.76]])  # as eight bits leave them
    assert answers.as_probabilities(kept, "m").tolist() == kept.tolist()


def test_outputs_that_are_no_numbers_are_not_an_accuracy_of_zero():
    for value in (np.nan, np.inf):
        with pytest.raises(QlabError, match="broken: 1 of 3 outputs, first that of image 1"):
            answers.as_probabilities(np.array([[0.5, 0.5], [value, 0.5], [0.5, 0.5]]), "broken")


def test_calibration_error_is_the_sum_over_the_papers_bins():
    rng = np.random.default_rng(1)
    found = softmax(rng.normal(0, 2, (200, 4)), 1)
    confidence, right = found.max(1), answers.correct(found, rng.integers(0, 4, 200))
    total = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            total += inside.sum() / 200 * abs(right[inside].mean() - confidence[inside].mean())
    e = answers.calibration_error(confidence, right)
    assert e.value == pytest.approx(total) and e.low <= total <= e.high and e.n == 200
    edge = np.array([0.5, 0.45])  # both in (0, .5], closed above: they cancel out
    one = answers.calibration_error(edge, np.array([False, True]), bins=2)
    assert one.value == pytest.approx(abs(1 - 0.95) / 2)
