"""The embedded ResNets have the published layers and score as kept."""

import json

import pytest
from networks import build

from qlab.classifier import answers
from qlab.classifier.model import keras
from qlab.core import stats
from qlab.files import embedded
from qlab.images import shapes32

# Parameters as MLPerf Tiny states them, and by the paper's formula, 6n + 2, n = 3.
PUBLISHED = [("resnet8", 78_666, 0.95), ("resnet20", 274_442, 0.98)]


@pytest.mark.parametrize(("name", "parameters", "most"), PUBLISHED)
def test_the_kept_model_is_what_the_notebook_builds_and_scores_what_its_card_says(
    name, parameters, most
):
    file = embedded.model_folder(f"{name}_shapes32") / "weights.h5"
    model = keras.models.load_model(file)  # a whole Keras 2 model, without an optimizer
    score = json.loads(file.with_name("card.json").read_text())["score"]
    assert model.get_config()["layers"] == build(name).get_config()["layers"]
    assert model.count_params() == parameters
    assert 0.85 <= score["accuracy"] <= most
    test = shapes32.load("test", 400)
    right = answers.correct(answers.keras_probabilities(model, test.images), test.labels)
    found = stats.proportion(int(right.sum()), len(right))
    assert found.low <= score["accuracy"] <= found.high
