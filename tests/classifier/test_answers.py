"""Probabilities mean what they say, from Keras and from .tflite alike; ECE is the published one."""

import numpy as np
import pytest
from scipy.special import softmax

from qlab.classifier import answers
from qlab.core import stats
from qlab.core.errors import QlabError

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 6, 6, 3)).astype(np.uint8)


def labelled(n: int, classes: int = 4, seed: int = 1):
    """Confidence [n] of random probabilities, and whether their likeliest class is the label."""
    rng = np.random.default_rng(seed)
    found = softmax(rng.normal(0, 2, (n, classes)), 1)
    return found.max(1), answers.correct(found, rng.integers(0, classes, n))


@pytest.fixture(scope="module")
def model():
    """Three pixels, scaled and softmaxed."""
    from qlab.classifier.toys import keras, layers

    keras.utils.set_random_seed(0)
    scaled = layers.Rescaling(1 / 255, input_shape=(6, 6, 3))
    body = [scaled, layers.Flatten(), layers.Dense(3, activation="softmax")]
    return keras.Sequential(body, name="tiny")


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """The model as float32, as float32 for one image at a time, and as int8."""
    from qlab.classifier.toys import tf

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


def test_pixels_go_in_raw_and_the_batch_does_not_matter(model):
    expected = model.predict_on_batch(IMAGES.astype(np.float32))
    found = answers.keras_probabilities(model, IMAGES, batch=3)
    assert found.dtype == np.float32 and found.shape == (7, 3)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("name", "tolerance"), [("float", 1e-5), ("single", 1e-5), ("int8", 0.03)])
def test_files_answer_as_their_model_does(model, files, name, tolerance):
    expected = answers.keras_probabilities(model, IMAGES)
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


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_are_not_an_accuracy_of_zero(value):
    outputs = np.full((3, 2), 0.5)
    outputs[1, 0] = value
    with pytest.raises(QlabError, match="broken.tflite: 1 of 3 outputs, first that of image 1"):
        answers.as_probabilities(outputs, "broken.tflite")


def test_bad_images_and_files(model, files, tmp_path):
    (tmp_path / "junk.tflite").write_bytes(b"junk")
    by_file, file = answers.tflite_probabilities, files / "float.tflite"
    for call, said in [
        ((answers.keras_probabilities, model, IMAGES[:, :5]), r"\[6, 6, 3\]; got 7 of \[5, 6, 3\]"),
        ((answers.keras_probabilities, model, IMAGES[:0]), "got 0 of"),
        ((by_file, file, IMAGES.astype(np.float32)), r"got 7 of \[6, 6, 3\], float32. Give uint8"),
        ((by_file, tmp_path / "none.tflite", IMAGES), "There is no .tflite file at"),
        ((by_file, tmp_path / "junk.tflite", IMAGES), "junk.tflite cannot be run by LiteRT"),
    ]:
        with pytest.raises(QlabError, match=said):
            call[0](*call[1:])


def test_calibration_error_is_the_sum_over_the_papers_bins():
    confidence, right = labelled(200)
    total = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            total += inside.sum() / 200 * abs(right[inside].mean() - confidence[inside].mean())
    found = answers.expected_calibration_error(confidence, right)
    assert found == pytest.approx(total)


def test_bins_are_closed_above():
    edge = np.array([0.5, 0.45])  # both in (0, .5]: they cancel out
    assert answers.expected_calibration_error(edge, np.array([False, True]), bins=2) == (
        pytest.approx(abs(1 - 0.95) / 2)
    )


def test_a_resample_scores_as_the_items_drawn_would():
    confidence, right = labelled(40)
    drawn = stats.resamples(40, 3, seed=5)[1]
    items = np.repeat(np.arange(40), drawn)
    direct = answers.expected_calibration_error(confidence[items], right[items])
    gaps = answers._gaps(confidence, right, 15)
    assert np.abs(drawn @ gaps).sum() / 40 == pytest.approx(direct)
