"""What notebook 03 is given: parameters, and people's own models and folders of images."""

import numpy as np
import pytest
from PIL import Image

from qlab.classifier import measure, points, sweep
from qlab.classifier.data import Parameters, prepare
from qlab.classifier.partial_qat import keras
from qlab.classifier.points import Point
from qlab.core.errors import QlabError

L = keras.layers


def functional(*body, classes=10, shape=(32, 32, 3)) -> keras.Model:
    x = inputs = L.Input(shape)
    end = L.GlobalAveragePooling2D(), L.Dense(classes, activation="softmax", name="d")
    for layer in (*body, *end):
        x = layer(x)
    return keras.Model(inputs, x)


def bench(model: keras.Model, folder, **given) -> points.Bench:
    model.save(folder / "own.h5")
    given = {"profile": "smoke", "model": str(folder / "own.h5"), "limit": 40} | given
    return points.Bench(prepare(Parameters(**given)))


def folders(root, counts: dict[str, int], size: int = 32) -> str:
    rng = np.random.default_rng(0)
    for place, count in counts.items():
        (root / place).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (size, size, 3), np.uint8)
            Image.fromarray(pixels).save(root / place / f"{i}.png")
    return str(root)


def test_parameters_resolve_to_a_task(home):
    task = prepare(Parameters(profile="smoke"))
    assert (task.model, task.dataset, task.place) == ("resnet8_shapes32", "shapes32", "smoke")
    assert (len(task.train), len(task.calibration), len(task.test)) == (256, 32, 200)
    assert task.notes == ()
    changed = prepare(Parameters(profile="smoke", epochs=3))
    assert changed.training.epochs == 3
    assert changed.place == "smoke-resnet8_shapes32-543da7ab"  # as records lie since long
    assert prepare(Parameters(profile="smoke", sweep="long", seeds=1)).place == "smoke-long"
    # Another number of seeds of a real run has a folder of its own.
    given = [Parameters(profile="small", seeds=seeds) for seeds in (0, 1)]
    assert [g.place("m", without=("sweep",)) == "small" for g in given] == [True, False]


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"sweep": "middle"}, "'sweep': Input should be 'short' or 'long'"),
        ({"epochs": -1}, "'epochs': .* greater than or equal to 0"),
        ({"threads": 0}, "'threads': .* greater than or equal to 1"),
        ({"model": "nowhere.h5"}, "There is no model at nowhere.h5"),
        ({"leave_float": "pool, dens"}, "'leave_float' names the layer 'dens'; .*dense"),
        ({"train_limit": 20}, "32 images a step, and there are 20 .*'train_limit'"),
    ],
)
def test_bad_parameters(home, given, sentence):
    with pytest.raises(QlabError, match=sentence):
        prepare(Parameters.of({"profile": "smoke"} | given))


def test_a_folder_of_ones_own_where_training_never_meets_test(home, tmp_path):
    """Two classes, one of few images; one image of training is a test image too; val/ judges
    beside test/."""
    counts = {"train/cat": 8, "train/dog": 40, "val/cat": 4, "val/dog": 4}
    counts |= {"test/cat": 3, "test/dog": 3}
    given = {"data": folders(tmp_path / "d", counts, 16)}
    (tmp_path / "d/train/cat/0.png").write_bytes((tmp_path / "d/val/cat/1.png").read_bytes())
    model = functional(L.Conv2D(4, 3), classes=2, shape=(16, 16, 3))
    task = bench(model, tmp_path, **given, profile="mini", limit=0).task
    assert task.notes == (
        "The images of val/ judge.",
        "Calibration images are the last 11 training images.",
        "1 training images are test images too and were left out.",
    )
    assert (task.model, len(task.test)) == ("own", 8)
    assert (len(task.train), len(task.calibration)) == (36, 11)
    assert len(set(task.calibration.labels)) == 2  # not the large class alone
    parts = [task.train, task.calibration, task.test]
    images = [image.tobytes() for part in parts for image in part.images]
    assert len(set(images)) == len(images)
    with pytest.raises(QlabError, match="answers with 3 classes"):
        bench(functional(L.Conv2D(4, 3), classes=3, shape=(16, 16, 3)), tmp_path, **given)
    with pytest.raises(QlabError, match=r"images of \(16, 16, 3\) .* of \(32, 32, 3\) in 10"):
        bench(functional(L.Conv2D(4, 3), shape=(16, 16, 3)), tmp_path)
    (tmp_path / "d" / "val" / "dog").rename(tmp_path / "d" / "val" / "elk")
    with pytest.raises(QlabError, match="has a folder 'elk', which is not among the 2 classes"):
        bench(model, tmp_path, **given)


def test_a_model_inside_a_model_is_refused(home, tmp_path):
    inner = keras.Sequential([L.Conv2D(8, 3)], name="backbone")
    with pytest.raises(QlabError, match="'backbone' is a model of its own.*input_tensor"):
        bench(functional(inner), tmp_path)


def test_softmax_is_found_by_what_comes_out_and_layers_left_float_are_told(home, tmp_path):
    x = inputs = L.Input((32, 32, 3))
    x = L.GlobalAveragePooling2D()(L.SeparableConv2D(4, 3, name="apart")(x))
    x = L.Softmax()(L.Dense(10, name="d")(x))
    made = bench(keras.Model(inputs, L.Activation("linear", dtype="float32")(x)), tmp_path)
    assert not made.logits and made.layers == ["d"]
    told = "left float, because tfmot does not know them: apart (SeparableConv2D)"
    assert told in made.task.notes[0]


@pytest.mark.slow
def test_a_sequential_model_of_grey_images_that_answers_with_logits(home, tmp_path):
    counts = {f"{part}/c{i}": 24 for part in ("train", "val") for i in range(3)}
    given = {"data": folders(tmp_path / "d", counts), "limit": 0}
    body = [L.Rescaling(1 / 255), L.Conv2D(8, 3, activation="relu", name="one"), L.MaxPooling2D()]
    body += [L.Conv2D(8, 3, name="two"), L.AveragePooling2D(), L.MaxPooling2D(), L.Flatten()]
    keras.utils.set_random_seed(0)
    model = keras.Sequential([L.Input((24, 40, 1)), *body, L.Dense(3, name="d")])
    made = bench(model, tmp_path, **given)
    assert made.layers == ["one", "two", "d"] and made.logits
    task, shape = made.task, (24, 40, 1)
    assert task.train.images.shape[1:] == shape and "turned to grey" in task.notes[-1]
    chosen = [Point(method, "last", k) for method in ("ptq", "qat") for k in (1, 2, 3)]
    found = points.made(chosen, task, 2)  # integers through the poolings, or an error
    for answer in found.values():
        assert answer.probabilities["tflite"].sum(1) == pytest.approx(1, abs=0.02)
    assert len(measure.worse_answers(task, made, found, 2)) == 12


def test_a_pooling_over_all_is_a_mean_and_no_other_function(home, tmp_path):
    body = [L.AveragePooling2D(2, name="some"), L.AveragePooling2D(16, name="all")]
    given = functional(L.Conv2D(4, 3, padding="same", name="c"), *body)
    made = bench(given, tmp_path)
    kinds = {layer.name: type(layer).__name__ for layer in made.model.layers}
    assert (kinds["some"], kinds["all"]) == ("AveragePooling2D", "GlobalAveragePooling2D")
    assert "all" in [x.name for x in made.raw.model.layers if isinstance(x, L.AveragePooling2D)]
    images = made.task.test.images.astype(np.float32)
    assert np.allclose(*(m(images) for m in (given, made.model)), atol=1e-6)
    raw = [Point("ptq", "last", 2, raw=True), Point("qat", "last", 1, raw=True)]
    assert sweep.raw_points(made) == raw
