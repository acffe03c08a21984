"""Fine-tuning: what each step sees, at what rate, and when it stops."""

import itertools

import numpy as np
import pytest

from qlab.classifier import fine_tune
from qlab.classifier.fine_tune import Settings
from qlab.core import parameters
from qlab.files import embedded
from qlab.images.labelled import LabelledImages

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (64, 32, 32, 3)).astype(np.uint8)
DATA = LabelledImages(IMAGES, np.zeros(64, np.int64), tuple("abcdefghij"))
# Which image each is, and whether it is mirrored.
KNOWN = {x.tobytes(): (i, False) for i, x in enumerate(IMAGES)}
KNOWN |= {x[:, ::-1].tobytes(): (i, True) for i, x in enumerate(IMAGES)}


def seen(steps) -> list[tuple[int, bool]]:
    return [KNOWN[x.astype(np.uint8).tobytes()] for images, _ in steps for x in images]


def test_an_epoch_shows_each_image_once_and_the_next_in_another_order():
    settings = Settings(2, 10)
    found = seen(fine_tune.batches(DATA, settings, 0))
    assert len(found) == 10 * settings.steps(64) == 120 and not any(turned for _, turned in found)
    first, second = found[:60], found[60:]
    assert len(set(first)) == len(set(second)) == 60 and first != second
    # As the embedded models are trained.
    endless = fine_tune.batches(DATA, Settings(parameters.ENDLESS, 8, mirror=True), 0)
    some = seen(itertools.islice(endless, 8))
    assert sorted(i for i, _ in some) == list(range(64)) and 16 < sum(t for _, t in some) < 48
    assert len(seen(itertools.islice(endless, 8))) == 64


def test_the_rate_falls_along_a_cosine_or_stays():
    settings = Settings(2, 10, 0.4, cosine=True)
    rates = [settings.rate_at(step, 100) for step in range(1, settings.steps(100) + 1)]
    assert Settings(2, 10, 0.4).rate_at(20, 100) == 0.4
    # As Keras has it, whose schedule counts steps from 0.
    theirs = fine_tune.keras.optimizers.schedules.CosineDecay(0.4, 20)
    assert rates == pytest.approx([float(theirs(step)) for step in range(20)], rel=1e-5)


def test_frozen_norms_keep_what_they_have():
    file = embedded.model_folder("resnet8_shapes32") / "weights.h5"
    model = fine_tune.keras.models.load_model(file)
    settings = Settings(1, 8, 0.1, mirror=True, frozen=True)
    fine_tune.compiled(model, settings)
    norm = model.get_layer("stem_bn1")
    before, kernel = norm.get_weights(), model.get_layer("stem_conv").get_weights()[0]
    steps = list(fine_tune.batches(DATA, settings, 0))
    fine_tune.run(model, steps, settings._replace(rate=0.0), 64)
    assert np.array_equal(kernel, model.get_layer("stem_conv").get_weights()[0])  # by its rate
    fine_tune.run(model, steps, settings, 64)
    assert all(map(np.array_equal, before, norm.get_weights()))
    assert not np.array_equal(kernel, model.get_layer("stem_conv").get_weights()[0])


def test_the_loss_is_that_of_what_the_model_gives():
    keras, logits = fine_tune.keras, np.array([[2.0, -1.0, 0.5]], np.float32)
    x = keras.Input((3,))
    plain, soft = keras.Model(x, x + 0), keras.Model(x, keras.layers.Softmax()(x))
    losses = [
        fine_tune.compiled(model, Settings(1), given).test_on_batch(logits, np.array([2]))
        for model, given in ((plain, True), (soft, False))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
