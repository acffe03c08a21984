"""A point is made once, kept by content, is what was asked for, and becomes records."""

from types import SimpleNamespace

import numpy as np
import pytest

from qlab.classifier import data, export, fine_tune, measure, metrics, points
from qlab.classifier.points import Answer, Bench, Point
from qlab.core import records, tflite_graph


@pytest.mark.parametrize(
    "point, name",
    [
        (Point("qat", "last", 3), "qat_w8a8_last3"),
        (Point("qat", "only", 7, 8, 2), "qat_w8a8_only7"),
        (Point("ptq", "last", 10, raw=True), "ptq_raw_w8a8_last10"),
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
    assert set(made.probabilities) == {"float", "fake_quant", "tflite"}
    assert made.facts == {"steps": 8}
    assert "INT4" in tflite_graph.tensor_types(made.file).values()
    file, graph = (made.probabilities[g].argmax(1) for g in ("tflite", "fake_quant"))
    assert (file == graph).mean() > 0.95
    monkeypatch.setattr(fine_tune, "run", None)
    again = points.answer(point, bench, 2)
    assert again.facts == made.facts
    for graph, found in made.probabilities.items():
        assert np.array_equal(found, again.probabilities[graph])


def test_divergence_is_kept_as_a_fact(bench, monkeypatch):
    def diverges(model, steps, settings, images):
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


N = 400
LABELS = np.random.default_rng(0).integers(0, 4, N)
TASK = SimpleNamespace(
    model="m", dataset="d", test=SimpleNamespace(labels=LABELS), training=fine_tune.Settings(2)
)


def answer(wrong: int) -> Answer:
    """Sure answers of all graphs, the first `wrong` of which are wrong."""
    given = np.where(np.arange(N) < wrong, (LABELS + 1) % 4, LABELS)
    probabilities = np.eye(4, dtype=np.float32)[given] * 0.96 + 0.01
    return Answer(None, dict.fromkeys(metrics.GRAPHS, probabilities), {})


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
