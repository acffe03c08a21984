"""Fine-tuning: what each step sees, at what rate, and when it stops."""

import itertools

import numpy as np
import pytest

from qlab.classifier import fine_tune, resnet
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


def test_a_loss_that_is_no_number_stops_at_its_step():
    model = network()
    good = itertools.islice(fine_tune.batches(DATA, SETTINGS, 0), 2)
    bad = (np.full((8, 8, 8, 3), np.nan, np.float32), np.zeros(8, np.int64))
    with pytest.raises(fine_tune.Diverged, match="step 3") as caught:
        fine_tune.run(model, itertools.chain(good, [bad]), SETTINGS, len(DATA))
    assert caught.value.step == 3


def test_a_cosine_falls_from_the_rate_to_nearly_none_and_is_half_at_half():
    settings = fine_tune.Settings(2, 10, 0.4, cosine=True)
    rates = [settings.rate_at(step, 100) for step in range(1, settings.steps(100) + 1)]
    assert rates[0] == 0.4 and rates[10] == pytest.approx(0.2) and 0 < rates[-1] < 0.01
    assert rates == sorted(rates, reverse=True)
    assert fine_tune.Settings(2, 10, 0.4).rate_at(20, 100) == 0.4
    # As Keras has it, whose schedule counts steps from 0.
    theirs = fine_tune.keras.optimizers.schedules.CosineDecay(0.4, 20)
    assert rates == pytest.approx([float(theirs(step)) for step in range(20)], rel=1e-5)


def test_frozen_norms_keep_what_they_have_and_mirrors_mirror():
    model = resnet.build("resnet8")
    settings = fine_tune.Settings(1, 8, 0.1, mirror=True, frozen=True)
    fine_tune.compiled(model, settings)
    norm = model.get_layer("stem_bn1")
    before, kernel = norm.get_weights(), model.get_layer("stem_conv").get_weights()[0]
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3)).astype(np.uint8)
    data = LabelledImages(images, np.zeros(64, np.int64), tuple("abcdefghij"))
    steps = list(fine_tune.batches(data, settings, 0))
    fine_tune.run(model, steps, settings._replace(rate=0.0), 64)
    assert np.array_equal(kernel, model.get_layer("stem_conv").get_weights()[0])  # by its rate
    fine_tune.run(model, steps, settings, 64)
    assert all(map(np.array_equal, before, norm.get_weights()))
    assert not np.array_equal(kernel, model.get_layer("stem_conv").get_weights()[0])
    given = {x.tobytes(): 0 for x in images} | {x[:, ::-1].tobytes(): 1 for x in images}
    ways = [given[x.astype(np.uint8).tobytes()] for one, _ in steps for x in one]
    assert len(ways) == 64 and 16 < sum(ways) < 48


def test_the_loss_is_that_of_what_the_model_gives():
    keras, logits = fine_tune.keras, np.array([[2.0, -1.0, 0.5]], np.float32)
    x = keras.Input((3,))
    plain, soft = keras.Model(x, x + 0), keras.Model(x, keras.layers.Softmax()(x))
    losses = [
        fine_tune.compiled(model, fine_tune.Settings(1), given).test_on_batch(logits, np.array([2]))
        for model, given in ((plain, True), (soft, False))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
