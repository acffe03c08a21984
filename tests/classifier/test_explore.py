"""What the explore section says of an image is what the records say of all."""

from types import SimpleNamespace

import numpy as np

from qlab.classifier import explore, measure
from qlab.classifier.points import Answer, Point
from qlab.core import records
from qlab.core.labelled_images import LabelledImages

LABELS = np.random.default_rng(0).integers(0, 3, 40)
GUESSES = [Point("ptq", "last", 4), Point("qat", "last", 4, 4, seed=1)]


def test_flips_are_those_of_the_records():
    """Forty images of three classes, and two points, the second of which guesses."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8, 3), np.uint8)
    task = SimpleNamespace(test=LabelledImages(images, LABELS, ("cat", "dog", "$owl$")))
    task.model, task.dataset = "m", "d"
    good = np.float32(0.8) * np.eye(3, dtype=np.float32)[LABELS] + np.float32(0.2 / 3)
    near, guess = (rng.dirichlet(np.ones(3), 40).astype(np.float32) for _ in range(2))
    given = [0.7 * good + 0.3 * near, 0.6 * good + 0.4 * guess, guess]
    parent, *found = (Answer(None, {"tflite": p}, {}) for p in given)
    answers = dict(zip(GUESSES, found, strict=True))
    answers[Point("qat", "last", 4, 4, seed=2)] = Answer(None, {}, {"diverged_at_step": 3})
    table = records.as_table(measure.accuracy_records(task, parent, answers))
    box = explore.samples(task, parent, answers)
    names = ["ptq_w8a8_last4", "qat_w4a8_last4, seed 1"]
    assert list(box.children[0].options) == names and box.children[0].value == names[1]
    for point, name in zip(GUESSES, names, strict=True):
        box.children[0].value = name
        lost, gained = (
            int(records.value(table, point.variant, f"flips_{s}")) for s in ("lost", "gained")
        )
        assert f": {lost} lost, {gained} gained." in box.children[-2].value
    assert lost > 5
