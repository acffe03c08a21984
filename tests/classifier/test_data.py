"""The parameters of notebook 03: what they resolve to and what is refused."""

import numpy as np
import pytest
from PIL import Image

from qlab.classifier import answers, data, points
from qlab.classifier.data import Parameters, prepare
from qlab.classifier.partial_qat import keras
from qlab.core.errors import QlabError


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


@pytest.fixture
def folder(tmp_path):
    """Two classes of 16x16 images, of which one in training is a test image too."""
    rng = np.random.default_rng(0)
    counts = {"train/cat": 24, "train/dog": 24, "val/cat": 4, "val/dog": 4}
    for name, i in [(name, i) for name, count in counts.items() for i in range(count)]:
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        image.save(tmp_path / name / f"{i}.png")
    (tmp_path / "train/cat/0.png").write_bytes((tmp_path / "val/cat/1.png").read_bytes())
    return tmp_path


def of_own(folder, classes: int = 2, **given) -> Parameters:
    layers = [
        keras.layers.Conv2D(4, 3, input_shape=(16, 16, 3)),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(classes, "softmax"),
    ]
    keras.Sequential(layers).save(folder / "own.h5", include_optimizer=False)
    return Parameters(**({"model": str(folder / "own.h5"), "data": str(folder)} | given))


def test_a_folder_of_ones_own_where_training_never_meets_test(home, folder):
    task = prepare(of_own(folder))
    assert task.notes == (
        "The images of val/ judge.",
        "Calibration images are the last 11 training images.",
        "1 training images are test images too and were left out.",
    )
    assert (task.model, len(task.test)) == ("own", 8)
    assert (len(task.train), len(task.calibration)) == (36, 11)
    parts = [task.train, task.calibration, task.test]
    images = [image.tobytes() for part in parts for image in part.images]
    assert len(set(images)) == len(images)


def test_model_and_data_that_do_not_belong_together_are_refused(home, folder):
    with pytest.raises(QlabError, match="answers with 3 classes"):
        prepare(of_own(folder, 3))
    with pytest.raises(
        QlabError, match=r"images of \(16, 16, 3\) .* images of \(32, 32, 3\) in 10"
    ):
        prepare(of_own(folder, 10, data="", profile="smoke"))
    (folder / "val" / "dog").rename(folder / "val" / "elk")
    with pytest.raises(QlabError, match="has a folder 'elk', which is not among the 2 classes"):
        prepare(of_own(folder))


@pytest.mark.slow
@pytest.mark.parametrize("model", data.TOYS)
def test_a_toy_network_learns_before_it_is_quantized(home, model):
    task = prepare(Parameters(profile="smoke", model=model))
    bench = points.Bench(task)
    learnt = answers.keras_probabilities(bench.model, task.train.images)
    assert answers.correct(learnt, task.train.labels).mean() > 0.2  # by chance .1
    points.answer(points.Point("qat", "last", len(bench.layers)), bench, 2)
