"""The experiment's records: what a point is compared with, and what divergence leaves."""

from types import SimpleNamespace

import numpy as np
import pytest

from qlab.classifier import measure
from qlab.classifier.fine_tune import Settings
from qlab.classifier.points import Answer, Point
from qlab.core import records

N = 400
LABELS = np.random.default_rng(0).integers(0, 4, N)
TASK = SimpleNamespace(
    model="m", dataset="d", test=SimpleNamespace(labels=LABELS), training=Settings(2)
)


def answer(wrong: int) -> Answer:
    """Sure answers of all graphs, the first `wrong` of which are wrong."""
    given = np.where(np.arange(N) < wrong, (LABELS + 1) % 4, LABELS)
    probabilities = np.eye(4, dtype=np.float32)[given] * 0.96 + 0.01
    return Answer(None, dict.fromkeys(measure.GRAPHS, probabilities), {})


def test_a_point_is_compared_with_the_parent_and_with_the_control_of_its_seed():
    answers = {
        Point("tuned", seed=1): answer(20),
        Point("qat", "last", 2, 4, 1): answer(50),
        Point("ptq", "last", 2, 4): answer(80),
        Point("qat", "last", 1): Answer(None, {}, {"diverged_at_step": 3}),
    }
    table = records.as_table(measure.accuracy_records(TASK, answer(40), answers))
    records.check(table, "test")
    qat, ptq, diverged = (
        dict(zip(one["metric"], one["value"], strict=True))
        for one in (table[table["variant"] == p.variant] for p in list(answers)[1:])
    )
    assert qat["accuracy"] == pytest.approx(0.875)
    assert qat["accuracy_difference"] == pytest.approx(-0.025)
    assert qat["accuracy_minus_tuned"] == pytest.approx(-0.075)
    assert qat["flips_lost"] == 10
    assert ptq["accuracy_difference"] == pytest.approx(-0.1)
    assert "accuracy_minus_tuned" not in ptq
    assert diverged == {"diverged_at_step": 3}  # and no accuracy
