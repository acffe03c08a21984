"""Records of points and over seeds: what is compared, and what a small case must give."""

from types import SimpleNamespace

import numpy as np
import pytest

from qlab.classifier import measure, points
from qlab.classifier.fine_tune import Settings
from qlab.classifier.points import Answer, Point
from qlab.core import records, stats

N = 400
LABELS = np.random.default_rng(0).integers(0, 4, N)
ABOUT = {"training": Settings(2), "train": range(320), "test": SimpleNamespace(labels=LABELS)}
TASK = SimpleNamespace(model="m", dataset="d", **ABOUT)


def answer(wrong: int) -> Answer:
    """Sure answers, the first `wrong` of which are wrong."""
    given = np.where(np.arange(N) < wrong, (LABELS + 1) % 4, LABELS)
    return Answer(None, {"tflite": np.eye(4, dtype=np.float32)[given] * 0.96 + 0.01})


PARENT = answer(40)
LAST = {s: Point("qat", "last", 2, 4, s) for s in (0, 1, 2)}
FIRST = {s: Point("qat", "first", 2, 4, s) for s in (0, 1, 2)}
ANSWERS = {
    **{Point("tuned", seed=s): answer(30 + s) for s in LAST},
    **{p: answer(50 + 10 * s) for s, p in LAST.items()},
    **{p: answer(80) for p in FIRST.values()},
    Point("ptq", "last", 2, 4): answer(44),
    Point("ptq", "last", 2, 4, raw=True): answer(100),  # no control
    Point("ptq", "last", 2, 4, rounding="octav"): answer(10),  # no control
    Point("qat", "last", 1): answer(40),  # of one seed
    Point("qat", "last", 3): Answer(None, {}, "no"),
    Point("qat", "last", 4): answer(40),
    Point("qat", "last", 4, seed=1): Answer(None, {}, "it diverged"),
}
POINTS = records.as_table(measure.accuracy_records(TASK, PARENT, ANSWERS))
SEEDS = records.as_table(measure.seed_records(TASK, PARENT, ANSWERS))


def over(metric: str, variant: str) -> tuple:
    records.check(SEEDS, "test")
    [row] = records.pick(SEEDS, f"{metric}_over_seeds", variant=variant).to_dict("records")
    return row["value"], row["ci_low"], row["ci_high"], row["n"]


def test_a_point_is_compared_with_the_parent_and_with_the_control_of_its_seed():
    records.check(POINTS, "test")
    made = {"fp32", "fp32_tuned", "ptq_w4a8_last2", "ptq_raw_w4a8_last2", "ptq_octav_w4a8_last2"}
    assert made < {*POINTS["variant"]}
    one = POINTS[(POINTS["variant"] == "qat_w4a8_last2") & (POINTS["seed"] == 1)]
    one = one.set_index("metric")["value"]
    assert one["accuracy"] == pytest.approx(1 - 60 / N)
    assert one["accuracy_difference"] == pytest.approx(-20 / N) and one["flips_lost"] == 20
    assert one["accuracy_minus_tuned"] == pytest.approx(-29 / N) and one["train_steps"] == 20
    assert records.pick(POINTS, "accuracy_minus_tuned", method="ptq").empty


def test_a_difference_over_seeds_is_the_mean_and_resamples_seeds_and_images():
    found = over("accuracy_difference", "qat_w4a8_last2")
    right = [ANSWERS[p].probabilities["tflite"].argmax(1) == LABELS for p in LAST.values()]
    before = PARENT.probabilities["tflite"].argmax(1) == LABELS
    assert found == stats.over_seeds(np.stack(right).astype(float) - before)
    assert found[0] == pytest.approx(-20 / N) and found[3] == 3  # mean of 10, 20 and 30 more


def test_controls_are_of_the_same_seeds_and_ptq_is_the_repaired_one():
    # 20, 29 and 38 more than the control of that seed
    assert over("accuracy_minus_tuned", "qat_w4a8_last2")[0] == pytest.approx(-29 / N)
    assert over("accuracy_minus_ptq", "qat_w4a8_last2")[0] == pytest.approx(-16 / N)
    assert over("accuracy_minus_last", "qat_w4a8_first2")[0] == pytest.approx(-20 / N)
    ends = over("accuracy_minus_last", "qat_w4a8_first_minus_last")
    assert ends[0] == pytest.approx(-20 / N) and ends[3] == 3


def test_one_seed_has_an_interval_over_images_though_nothing_differs():
    value, low, high, n = over("accuracy_difference", "qat_w8a8_last1")
    assert (value, n) == (0, N) and low < -0.005 and high > 0.005  # no flips is not nothing


def test_what_failed_is_a_record_of_that_alone():
    assert POINTS[POINTS["variant"] == "qat_w8a8_last3"]["metric"].tolist() == ["failed"]
    gone = POINTS[(POINTS["variant"] == "qat_w8a8_last4") & (POINTS["seed"] == 1)]
    assert gone[["metric", "value"]].to_numpy().tolist() == [["failed", 1]]
    assert not {"qat_w8a8_last3", "qat_w8a8_last4"} & set(SEEDS["variant"])  # a seed is missing


def test_a_point_that_cannot_be_made_is_told_and_the_others_are_there(monkeypatch, caplog):
    failed = Answer(None, {}, "the converter left it float")
    monkeypatch.setattr(points.processes, "starmap", lambda *_: [failed, PARENT])
    one, two = Point("ptq", "last", 1), Point("ptq", "last", 2)
    found = points.made([two, one], SimpleNamespace(given=None), 2)
    assert found[one] is PARENT and found[two] is failed
    assert "ptq_w8a8_last2 is not there: the converter left it float" in caplog.text
