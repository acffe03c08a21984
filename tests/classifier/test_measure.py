"""The experiment's records: which points, what is compared, and the way back from records."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from qlab.classifier import measure
from qlab.classifier.fine_tune import Settings
from qlab.classifier.points import Answer, Point
from qlab.core import places, records

N = 400
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, N)


def probabilities(wrong: int) -> np.ndarray:
    """Sure answers, the first `wrong` of which are wrong."""
    given = np.where(np.arange(N) < wrong, (LABELS + 1) % 4, LABELS)
    return np.eye(4, dtype=np.float32)[given] * 0.96 + 0.01


@pytest.fixture
def task():
    test = SimpleNamespace(labels=LABELS)
    return SimpleNamespace(model="m", dataset="d", test=test, training=Settings(2))


PARENT = Answer(None, {"float": probabilities(40), "tflite": probabilities(40)}, {})


def answer(wrong: int, **facts) -> Answer:
    graphs = ("float", "fake_quant", "equal_time", "tflite")
    return Answer(None, {g: probabilities(wrong) for g in graphs}, facts)


def value(found, variant, metric, seed=None):
    [row] = [r for r in found if (r.variant, r.metric, r.seed) == (variant, metric, seed)]
    return row


def test_a_point_is_compared_with_the_parent_and_with_the_control_of_its_seed(task):
    answers = {
        Point("tuned", seed=1): answer(20),
        Point("qat", "last", 2, 4, 1): answer(50),
        Point("ptq", "last", 2, 4): answer(80),
    }
    found = measure.accuracy_records(task, PARENT, answers)
    records.check(records.as_table(found), "test")
    qat, ptq = "qat_w4a8_last2", "ptq_w4a8_last2"
    assert value(found, qat, "accuracy", 1).value == pytest.approx(0.875)
    assert value(found, qat, "accuracy_difference", 1).value == pytest.approx(-0.025)
    assert value(found, qat, "accuracy_minus_tuned", 1).value == pytest.approx(-0.075)
    assert value(found, qat, "flips_lost", 1).value == 10
    assert value(found, ptq, "accuracy_difference").value == pytest.approx(-0.1)
    assert not [r for r in found if r.variant == ptq and r.metric == "accuracy_minus_tuned"]


def test_divergence_is_a_record_and_no_accuracy(task):
    broken = Answer(None, {}, {"diverged_at_step": 3})
    found = measure.accuracy_records(task, PARENT, {Point("qat", "last", 1): broken})
    [row] = [r for r in found if r.variant == "qat_w8a8_last1"]
    assert (row.metric, row.value) == ("diverged_at_step", 3)


def test_points_come_back_from_records(task):
    answers = {Point("qat", "last", 2, 4, s): answer(50 + s) for s in (0, 1)}
    answers[Point("ptq", "only", 3)] = answer(60)
    found = measure.accuracy_records(task, PARENT, answers)
    for point, size in ((Point("qat", "last", 2, 4), 900), (Point("ptq", "only", 3), 1000)):
        here, about = (task, point.variant), point.columns
        found.append(measure._record.counted(*here, "size_bytes", size, **about))
        found.append(measure._record.counted(*here, "quantized_share", 0.5, **about))
    noisy = [replace(r, condition="noise", strength=1) for r in found]
    table = places.points_table(records.as_table(found + noisy))
    assert len(table) == 3
    row = table[(table["seed"] == 1) & (table["method"] == "qat")].iloc[0]
    assert (row["where"], row["k"], row["bits"], row["size_bytes"]) == ("last", 2, 4, 900)
    assert row["loss"] == pytest.approx(11 / N)
    assert row["loss_se"] == pytest.approx(np.sqrt(11 / N - (11 / N) ** 2) / np.sqrt(N), rel=1e-3)
