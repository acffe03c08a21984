"""A point is made once, kept by content, and its file is what was asked for."""

import numpy as np
import pytest

from qlab.classifier import data, export, fine_tune, points
from qlab.classifier.points import Bench, Point
from qlab.core import tflite_graph
from qlab.core.errors import QlabError


@pytest.mark.parametrize(
    "point, name",
    [
        (Point("qat", "last", 3), "qat_w8a8_last3"),
        (Point("ptq", "first", 2, 4), "ptq_w4a8_first2"),
        (Point("qat", "only", 7, 8, 2), "qat_w8a8_only7"),
        (Point("ptq", "last", 10, left=("pool",)), "ptq_w8a8_last10_but_pool"),
        (Point("tuned"), "fp32_tuned"),
    ],
)
def test_names_decode(point, name):
    assert point.variant == name


@pytest.fixture
def bench(home):
    return Bench(data.prepare(data.Parameters(profile="smoke")))


@pytest.mark.slow
def test_a_trained_point_is_kept_and_not_trained_again(bench, monkeypatch):
    point = Point("qat", "last", 2, 4)
    made = points.answer(point, bench, 2)
    assert set(made.probabilities) == {"float", "fake_quant", "equal_time", "tflite"}
    assert 1 <= made.facts["equal_time_steps"] <= made.facts["steps"] == 8
    assert "INT4" in tflite_graph.tensor_types(made.file).values()
    file, graph = (made.probabilities[g].argmax(1) for g in ("tflite", "fake_quant"))
    assert (file == graph).mean() > 0.95
    monkeypatch.setattr(fine_tune, "run", None)
    again = points.answer(point, bench, 2)
    assert again.facts == made.facts
    for graph, found in made.probabilities.items():
        assert np.array_equal(found, again.probabilities[graph])


def test_divergence_is_kept_as_a_fact(bench, monkeypatch):
    def diverges(model, steps, done=0):
        raise fine_tune.Diverged(5)

    monkeypatch.setattr(fine_tune, "run", diverges)
    found = points.answer(Point("tuned"), bench, 2)
    assert found.facts["diverged_at_step"] == 5 and found.file is None
    assert not found.probabilities


def test_a_file_that_is_not_as_asked_leaves_nothing_behind(bench, monkeypatch):
    float_file = bench.float_file.read_bytes()
    monkeypatch.setattr(points.ptq, "quantize", lambda *a: float_file)
    for _ in range(2):  # nothing was kept, so it is tried, and refused, again
        with pytest.raises(export.WrongTypes, match="dense has 32 bits instead of 8"):
            points.answer(Point("ptq", "last", 1), bench, 2)


@pytest.mark.parametrize(
    "point, said",
    [
        (Point("qat", "last", 11), "10 layers with weights"),
        (Point("ptq", "only", 0), "10 layers with weights"),
        (Point("ptw"), "'ptw'"),
    ],
)
def test_points_that_do_not_exist(bench, point, said):
    with pytest.raises(QlabError, match=said):
        points.answer(point, bench, 2)
