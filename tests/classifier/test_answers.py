"""Probabilities mean what they say, from Keras and from .tflite alike; ECE is the published one."""

import numpy as np
import pytest
from scipy.special import softmax

from qlab.classifier import answers
from qlab.core.errors import QlabError

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 6, 6, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    """Three pixels, scaled and softmaxed."""
    from qlab.classifier.resnet import keras, layers

    keras.utils.set_random_seed(0)
    scaled = layers.Rescaling(1 / 255, input_shape=(6, 6, 3))
    body = [scaled, layers.Flatten(), layers.Dense(3, activation="softmax")]
    return keras.Sequential(body, name="tiny")


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """The model as float32, as float32 for one image at a time, and as int8."""
    from qlab.core.tf import tf

    folder = tmp_path_factory.mktemp("tflite")
    one = tf.function(model).get_concrete_function(tf.TensorSpec((1, 6, 6, 3)))
    makers = {
        "float": tf.lite.TFLiteConverter.from_keras_model(model),
        "single": tf.lite.TFLiteConverter.from_concrete_functions([one], model),
        "int8": tf.lite.TFLiteConverter.from_keras_model(model),
    }
    whole = makers["int8"]
    whole.optimizations = [tf.lite.Optimize.DEFAULT]
    whole.representative_dataset = lambda: ([i[None].astype(np.float32)] for i in IMAGES)
    whole.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    whole.inference_input_type, whole.inference_output_type = tf.uint8, tf.int8
    for name, converter in makers.items():
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    return folder


@pytest.mark.parametrize(("name", "tolerance"), [("float", 1e-5), ("single", 1e-5), ("int8", 0.03)])
def test_files_answer_as_their_model_does(model, files, name, tolerance):
    expected = answers.keras_probabilities(model, IMAGES, batch=3)
    assert expected == pytest.approx(model.predict_on_batch(IMAGES.astype(np.float32)), abs=1e-6)
    assert np.ptp(expected, axis=0).min() > 3 * 0.03  # the images are told apart
    found = answers.tflite_probabilities(files / f"{name}.tflite", IMAGES, batch=3)
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_codes_round_to_nearest_and_stay_in_range():
    end = {"dtype": np.int8, "quantization": (0.5, -3)}
    codes = answers._encoded(np.array([0.0, 1.2, -100, 100], np.float32), end)
    assert codes.tolist() == [-3, -1, -128, 127] and codes.dtype == np.int8
    assert answers._decoded(codes, end).tolist() == [0.0, 1.0, -62.5, 65.0]


def test_logits_get_a_softmax_and_it_is_said_once(caplog):
    logits = np.random.default_rng(2).normal(0, 3, (5, 4)).astype(np.float32)
    for _ in range(2):
        found = answers.as_probabilities(logits, "a model with logits")
    np.testing.assert_allclose(found, softmax(logits.astype(float), 1), atol=1e-6)
    assert caplog.text.count("a model with logits answers with logits") == 1
    kept = np.float32([[0.99, 0.0], [0.5, 0.5], [0.25, 0.76]])  # as eight bits leave them
    assert answers.as_probabilities(kept, "m").tolist() == kept.tolist()


def test_outputs_that_are_no_numbers_are_not_an_accuracy_of_zero():
    for value in (np.nan, np.inf):
        with pytest.raises(QlabError, match="broken: 1 of 3 outputs, first that of image 1"):
            answers.as_probabilities(np.array([[0.5, 0.5], [value, 0.5], [0.5, 0.5]]), "broken")


def test_calibration_error_is_the_sum_over_the_papers_bins():
    rng = np.random.default_rng(1)
    found = softmax(rng.normal(0, 2, (200, 4)), 1)
    confidence, right = found.max(1), answers.correct(found, rng.integers(0, 4, 200))
    total = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            total += inside.sum() / 200 * abs(right[inside].mean() - confidence[inside].mean())
    e = answers.calibration_error(confidence, right)
    assert e.value == pytest.approx(total) and e.low <= total <= e.high and e.n == 200
    edge = np.array([0.5, 0.45])  # both in (0, .5], closed above: they cancel out
    one = answers.calibration_error(edge, np.array([False, True]), bins=2)
    assert one.value == pytest.approx(abs(1 - 0.95) / 2)
