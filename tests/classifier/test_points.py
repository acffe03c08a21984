"""A point is made once, kept by content, and is what was asked for."""

import numpy as np
import pytest

from qlab.classifier import data, export, fine_tune, points
from qlab.classifier.points import Bench, Point
from qlab.core.errors import QlabError
from qlab.tflite import graph as tflite_graph


@pytest.fixture
def bench(home):
    return Bench(data.prepare(data.Parameters(profile="smoke")))


@pytest.mark.slow
def test_a_trained_point_is_kept_and_not_trained_again(bench, monkeypatch):
    point = Point("qat", "last", 2, 4)
    made = points.answer(point, bench, 2)
    assert set(made.probabilities) == {"float", "fake_quant", "tflite"}
    assert "INT4" in tflite_graph.tensor_types(made.file).values()
    file, graph = (made.probabilities[g].argmax(1) for g in ("tflite", "fake_quant"))
    assert (file == graph).mean() > 0.95
    monkeypatch.setattr(fine_tune, "run", None)
    again = points.answer(point, bench, 2)
    for graph, found in made.probabilities.items():
        assert np.array_equal(found, again.probabilities[graph])


def test_divergence_is_a_failed_point_that_says_at_which_step(home, monkeypatch):
    monkeypatch.setattr(points.fine_tune.keras.Model, "train_on_batch", lambda *_: np.nan)
    found = points.tried(Point("tuned"), data.Parameters(profile="smoke"), 2)
    assert found.file is None and "no finite number at step 1; try a smaller" in found.failed


def test_a_file_that_is_not_as_asked_leaves_nothing_behind(bench, monkeypatch):
    float_file = bench.float_file.read_bytes()
    monkeypatch.setattr(export, "ptq", lambda *a: float_file)
    for _ in range(2):  # nothing was kept, so it is tried, and refused, again
        with pytest.raises(QlabError, match="dense has 32 bits instead of 8"):
            points.answer(Point("ptq", "last", 1), bench, 2)
