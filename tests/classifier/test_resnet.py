"""The embedded ResNets have the published layers, resume their training and score as kept."""

import json

import numpy as np
import pytest

from qlab.classifier import answers, resnet, training
from qlab.classifier.resnet import keras
from qlab.core import embedded, shapes32, stats


def weighted(model) -> list[tuple[int, ...]]:
    """Shapes of all kernels, in the model's order."""
    return [layer.get_weights()[0].shape for layer in model.layers if hasattr(layer, "kernel")]


def test_resnet8_has_the_layers_of_mlperf_tiny():
    model = resnet.build("resnet8")
    kernels = weighted(model)
    assert model.count_params() == 78666  # stated for MLPerf Tiny's model
    assert sum(k[:2] == (3, 3) for k in kernels) == 7
    assert sum(k[:2] == (1, 1) for k in kernels) == 2
    assert kernels[-1] == (64, 10) and len(kernels) == 10
    names = [layer.name for layer in model.layers]
    assert {"stem_conv", "stack2_shortcut", "stack3_bn2", "stack1_relu1", "dense"} <= set(names)


@pytest.mark.real_data
def test_resnet8_is_the_published_model(real_data):
    theirs = keras.models.load_model(real_data / "mlperf_tiny" / "pretrainedResnet.h5")
    mine = resnet.build("resnet8")
    assert sorted(weighted(mine)) == sorted(weighted(theirs))
    kinds = [
        sorted(type(x).__name__.replace("ReLU", "Activation") for x in m.layers)
        for m in (mine, theirs)
    ]
    assert kinds[0] == kinds[1]


def test_resnet20_has_twenty_weighted_layers_beside_its_shortcuts():
    model = resnet.build("resnet20")
    small = [k[:2] == (1, 1) for k in weighted(model)]
    assert (small.count(False), small.count(True)) == (20, 2)  # 6n + 2, n = 3
    assert 0.26e6 < model.count_params() < 0.28e6
    assert "stack3_block2_conv1" in [layer.name for layer in model.layers]


def test_an_epoch_of_batches_shows_each_image_once_or_its_mirror_image():
    data = shapes32.load("calibration", 32)
    before, batches = data.images.copy(), training.batches(data, 8, 0)
    seen = np.concatenate([x for x, _ in batches.take(4).as_numpy_iterator()])
    assert seen.dtype == np.float32 and (data.images == before).all()
    turned = {image.tobytes(): i for i, image in enumerate(before[:, :, ::-1])}
    same = {image.tobytes(): i for i, image in enumerate(before)}
    found = [image.tobytes() for image in seen.astype(np.uint8)]
    assert sorted((same | turned)[image] for image in found) == list(range(32))
    assert 5 < sum(image in turned for image in found) < 27


@pytest.mark.parametrize("name, most", [("resnet8", 0.95), ("resnet20", 0.98)])
def test_the_kept_model_scores_what_its_card_says(name, most):
    file = embedded.resnet_file(f"{name}_shapes32")
    model = keras.models.load_model(file)  # a whole Keras 2 model, without an optimizer
    score = json.loads(file.with_name("card.json").read_text())["score"]
    assert [x.name for x in model.layers] == [x.name for x in resnet.build(name).layers]
    assert 0.85 <= score["accuracy"] <= most
    test = shapes32.load("test", 400)
    right = answers.correct(answers.keras_probabilities(model, test.images), test.labels)
    found = stats.proportion(int(right.sum()), len(right))
    assert found.low <= score["accuracy"] <= found.high
