"""Points and answers of the explore section are those of the sweep's records and of the answers."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from qlab.classifier import explore, measure, sweep
from qlab.classifier.points import Answer, Point
from qlab.core import records
from qlab.core.labelled_images import LabelledImages

N = 10
WHOLE = records.read(sweep.EXPERIMENT, sweep.LONG)


@pytest.mark.parametrize("where, k, variant", [
    ("last", 4, "w4a8_last4"), ("first", 2, "w4a8_first2"), ("only", 5, "w4a8_only5"),
    ("only", 1, "w4a8_first1"), ("only", N, "w4a8_last1"), ("first", N, f"w4a8_last{N}"),
])  # fmt: skip
def test_the_text_is_the_records(where, k, variant):
    place, bits, at, text, _ = explore.sweep(WHOLE, N).children
    place.value, bits.value, at.value = where, 4, k
    told = dict(zip(("ptq", "qat"), text.value.split("<br>"), strict=True))
    for method, line in told.items():
        rows = {m: records.pick(WHOLE, m, variant=f"{method}_{variant}", condition=None)
                for m in ("accuracy_difference", "size_bytes", "train_step_ratio")}  # fmt: skip
        mean = {m: r["value"].mean() for m, r in rows.items()}
        assert f"accuracy {100 * mean['accuracy_difference']:+.2f} " in line
        assert f"{mean['size_bytes'] / 1e3:,.1f} KB" in line
        assert ("training step" in line) == (method == "qat")
        if method == "qat":
            assert f"a training step {mean['train_step_ratio']:.2f} (" in line
            assert f"of {len(rows['accuracy_difference'])} seeds" in line


def test_step_times_without_a_seed_are_of_every_seed():
    ratios = WHOLE["metric"] == "train_step_ratio"
    one = WHOLE[ratios & (WHOLE["seed"] == 0)].assign(seed=pd.NA)
    points = explore.swept(pd.concat([WHOLE[~ratios], one]), N)
    trained = points[points["method"] == "qat"]
    assert trained["step"].notna().all() and trained["seed"].nunique() == 3
    assert points.loc[points["method"] == "ptq", "step"].isna().all()


LABELS = np.random.default_rng(0).integers(0, 3, 40)
GUESSES = [Point("ptq", "last", 4), Point("qat", "last", 4, 4, seed=1)]


@pytest.fixture
def world():
    """Forty images of three classes, and two points, the second of which guesses."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8, 3), np.uint8)
    task = SimpleNamespace(test=LabelledImages(images, LABELS, ("cat", "dog", "$owl$")))
    task.model, task.dataset = "m", "d"
    good = np.float32(0.8) * np.eye(3, dtype=np.float32)[LABELS] + np.float32(0.2 / 3)
    near, guess = (rng.dirichlet(np.ones(3), 40).astype(np.float32) for _ in range(2))
    given = [0.7 * good + 0.3 * near, 0.6 * good + 0.4 * guess, guess]
    parent, *answers = (Answer(None, {"tflite": p}, {}) for p in given)
    diverged = {Point("qat", "last", 4, 4, seed=2): Answer(None, {}, {"diverged_at_step": 3})}
    return task, parent, dict(zip(GUESSES, answers, strict=True)) | diverged


def test_flips_are_those_of_the_records(world):
    task, parent, answers = world
    found = records.as_table(measure.accuracy_records(task, parent, answers))
    box = explore.samples(task, parent, answers)
    assert [name for name, _ in box.children[0].options] == [
        "ptq_w8a8_last4", "qat_w4a8_last4, seed 1"]  # fmt: skip
    for point in GUESSES:
        box.children[0].value = point
        lost, gained = (
            int(records.value(found, point.variant, f"flips_{s}")) for s in ("lost", "gained")
        )
        assert f": {lost} lost, {gained} gained." in box.children[-2].value
    assert lost > 5
