"""What people bring: Keras models of other forms, folders of images, each with what is right."""

import numpy as np
import pytest
from PIL import Image

from qlab.classifier import answers, data, measure, points, sweep
from qlab.classifier.partial_qat import keras
from qlab.classifier.points import Point
from qlab.core.errors import QlabError

L = keras.layers


def functional(*body) -> keras.Model:
    x = inputs = L.Input((32, 32, 3))
    for layer in (*body, L.GlobalAveragePooling2D(), L.Dense(10, activation="softmax", name="d")):
        x = layer(x)
    return keras.Model(inputs, x)


def bench(model: keras.Model, folder) -> points.Bench:
    model.save(folder / "given.h5")
    given = data.Parameters(profile="smoke", model=str(folder / "given.h5"), limit=40)
    return points.Bench(data.prepare(given))


@pytest.mark.slow
def test_a_sequential_model_with_max_pooling_that_answers_with_logits(home, tmp_path):
    body = [L.Rescaling(1 / 255), L.Conv2D(8, 3, activation="relu", name="one"), L.MaxPooling2D()]
    body += [L.Conv2D(8, 3, activation="relu", name="two"), L.MaxPooling2D(), L.Flatten()]
    keras.utils.set_random_seed(0)
    made = bench(keras.Sequential([L.Input((32, 32, 3)), *body, L.Dense(10, name="d")]), tmp_path)
    assert made.layers == ["one", "two", "d"] and made.logits
    for method in ("ptq", "qat"):  # integers through the pooling, or WrongTypes
        for k in (1, 2, 3):
            found = points.answer(Point(method, "last", k), made, 2)
            assert found.probabilities["tflite"].sum(1) == pytest.approx(1, abs=0.02)


@pytest.mark.slow
def test_an_activation_that_tfmot_does_not_know_is_a_failed_point(home, tmp_path):
    task = bench(functional(L.Conv2D(8, 3, activation="elu", name="c")), tmp_path).task
    one, two = (points.tried(Point("qat", "last", k), task.given, 2) for k in (1, 2))
    assert not one.failed and "Only some Keras activations" in two.failed
    assert "leave_float" in two.failed


def test_layers_that_are_not_counted_are_told(home, tmp_path):
    made = bench(functional(L.SeparableConv2D(8, 3, name="apart")), tmp_path)
    assert made.layers == ["d"]
    told = "left float, because tfmot does not know them: apart (SeparableConv2D)"
    assert told in made.task.notes[0]


def test_a_model_inside_a_model_is_refused(home, tmp_path):
    inner = keras.Sequential([L.Conv2D(8, 3)], name="backbone")
    with pytest.raises(QlabError, match="'backbone' is a model of its own.*input_tensor"):
        bench(functional(inner), tmp_path)


def test_softmax_is_found_by_what_comes_out(home, tmp_path):
    x = inputs = L.Input((32, 32, 3))
    x = L.Dense(10, name="d")(L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(x)))
    x = L.Activation("linear", dtype="float32")(L.Softmax()(x))
    assert not bench(keras.Model(inputs, x), tmp_path).logits
    assert answers.are_probabilities(np.full((2, 4), 0.25))
    assert not answers.are_probabilities(np.array([[2.0, -1.0]]))


def folders(root, counts: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    for place, count in counts.items():
        (root / place).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(root / place / f"{i}.png")


def test_val_judges_beside_test_and_any_part_of_an_uneven_folder_has_all_classes(home, tmp_path):
    counts = {f"train/c{i}": 400 if i == 9 else 8 for i in range(10)}
    counts |= {f"{part}/c{i}": n for part, n in (("val", 2), ("test", 3)) for i in range(10)}
    folders(tmp_path / "d", counts)
    task = data.prepare(data.Parameters(profile="smoke", data=str(tmp_path / "d")))
    assert len(task.test) == 20 and "The images of val/ judge." in task.notes
    assert len(set(task.calibration.labels)) > 1  # not the large class alone


@pytest.mark.slow
def test_grey_images_of_another_shape_run_to_the_end(home, tmp_path):
    x = inputs = L.Input((24, 40, 1))
    for layer in (L.Conv2D(4, 3, name="c"), L.AveragePooling2D(2), L.Conv2D(4, 3, name="e")):
        x = layer(x)
    x = L.Dense(3, activation="softmax", name="d")(L.GlobalAveragePooling2D()(x))
    keras.Model(inputs, x).save(tmp_path / "grey.h5")
    folders(tmp_path / "d", {f"{part}/c{i}": 24 for part in ("train", "val") for i in range(3)})
    about = {"model": str(tmp_path / "grey.h5"), "data": str(tmp_path / "d")}
    task = data.prepare(data.Parameters(profile="smoke", **about))
    assert task.train.images.shape[1:] == (24, 40, 1) and "turned to grey" in task.notes[-1]
    made = points.Bench(task)
    found = points.made([Point("ptq", "last", 3), Point("qat", "last", 2)], task, 2)
    assert not any(answer.failed for answer in found.values())
    assert len(measure.worse_answers(task, made, found, 2)) == 12


def test_a_pooling_over_all_is_a_mean_and_no_other_function(home, tmp_path):
    x = inputs = L.Input((32, 32, 3))
    x = L.AveragePooling2D(2, name="some")(L.Conv2D(4, 3, padding="same", name="c")(x))
    x = L.Flatten()(L.AveragePooling2D(16, name="all")(x))
    given = keras.Model(inputs, L.Dense(10, activation="softmax", name="d")(x))
    made = bench(given, tmp_path)
    kinds = {layer.name: type(layer).__name__ for layer in made.model.layers}
    assert (kinds["some"], kinds["all"]) == ("AveragePooling2D", "GlobalAveragePooling2D")
    assert "all" in [x.name for x in made.raw.model.layers if isinstance(x, L.AveragePooling2D)]
    images = made.task.test.images.astype(np.float32)
    assert np.allclose(*(m(images) for m in (given, made.model)), atol=1e-6)
    raw = [Point("ptq", "last", 2, raw=True), Point("qat", "last", 1, raw=True)]
    assert sweep.raw_points(made) == raw
