"""The embedded ResNets have the published layers and score as kept."""

import json

import pytest
from networks import build

from qlab.classifier import answers
from qlab.classifier.model import keras
from qlab.core import embedded, shapes32, stats


@pytest.mark.parametrize(
    "name, parameters, wide, narrow",
    # Stated for MLPerf Tiny's model; and by the paper's formula, 6n + 2, n = 3.
    [("resnet8", 78_666, 8, 2), ("resnet20", 274_442, 20, 2)],
)
def test_the_layers_are_the_published_ones(name, parameters, wide, narrow):
    model = build(name)
    kernels = [layer.get_weights()[0].shape for layer in model.layers if hasattr(layer, "kernel")]
    small = [k[:2] == (1, 1) for k in kernels]
    assert (small.count(False), small.count(True)) == (wide, narrow)
    assert model.count_params() == parameters and kernels[-1] == (64, 10)


@pytest.mark.parametrize("name, most", [("resnet8", 0.95), ("resnet20", 0.98)])
def test_the_kept_model_scores_what_its_card_says(name, most):
    file = embedded.model_folder(f"{name}_shapes32") / "weights.h5"
    model = keras.models.load_model(file)  # a whole Keras 2 model, without an optimizer
    score = json.loads(file.with_name("card.json").read_text())["score"]
    assert [x.name for x in model.layers] == [x.name for x in build(name).layers]
    assert 0.85 <= score["accuracy"] <= most
    test = shapes32.load("test", 400)
    right = answers.correct(answers.keras_probabilities(model, test.images), test.labels)
    found = stats.proportion(int(right.sum()), len(right))
    assert found.low <= score["accuracy"] <= found.high
