"""Fine-tuning: what each step sees, what timing leaves alone, and when it stops."""

import itertools

import numpy as np
import pytest

from qlab.classifier import fine_tune
from qlab.classifier.fine_tune import Settings
from qlab.classifier.partial_qat import keras
from qlab.core.labelled_images import LabelledImages

RNG = np.random.default_rng(0)
DATA = LabelledImages(
    RNG.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8), np.arange(20) % 3, ("a", "b", "c")
)
SETTINGS = Settings(epochs=2, batch=8, rate=0.01)


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(4, 3, input_shape=(8, 8, 3)),
        keras.layers.BatchNormalization(),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, "softmax"),
    ]
    return fine_tune.compiled(keras.Sequential(layers), SETTINGS)


def test_an_epoch_shows_each_image_at_most_once_and_the_next_in_another_order():
    seen = [labels for _, labels in fine_tune.batches(DATA, SETTINGS, 0)]
    images = [i.reshape(8, -1) for i, _ in fine_tune.batches(DATA, SETTINGS, 0)]
    assert len(seen) == SETTINGS.steps(len(DATA)) == 4
    first, second = np.concatenate(images[:2]), np.concatenate(images[2:])
    assert len(np.unique(first, axis=0)) == 16
    assert not np.array_equal(first, second)


def test_timing_changes_nothing_that_stays(monkeypatch):
    """And its ratio is the model's time over its twin's; the clock itself is made up."""

    def timed(steps, repeats, *_, **__):
        for step in steps.values():
            step()
        return {name: np.full(repeats, 4e-3 if name == "model" else 2e-3) for name in steps}

    monkeypatch.setattr(fine_tune.timing, "interleaved", timed)
    model, twin, untimed = network(), network(), network()  # the same seed, the same weights
    step = next(fine_tune.batches(DATA, SETTINGS, 0))
    before = model.get_weights()
    times = fine_tune.step_times(model, twin, step, repeats=6)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert (times.ratio.value, times.ratio.n) == (2, 6)
    for one in (model, untimed):
        fine_tune.run(one, fine_tune.batches(DATA, SETTINGS, 0))
    for a, b in zip(model.get_weights(), untimed.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_a_loss_that_is_no_number_stops_at_its_step():
    model = network()
    good = itertools.islice(fine_tune.batches(DATA, SETTINGS, 0), 2)
    bad = (np.full((8, 8, 8, 3), np.nan, np.float32), np.zeros(8, np.int64))
    with pytest.raises(fine_tune.Diverged, match="step 7") as caught:
        fine_tune.run(model, itertools.chain(good, [bad]), done=4)
    assert caught.value.step == 7
