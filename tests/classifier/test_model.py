"""Models come back as they were; what could run code, or is no classifier, gets a sentence."""

import json
import zipfile

import h5py
import numpy as np
import pytest
from networks import toy

from qlab.classifier import answers
from qlab.classifier import model as classifier
from qlab.classifier.model import keras, layers
from qlab.core.errors import QlabError
from qlab.tflite.tf import tf

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return toy("toy_cnn", 3, (8, 8, 3))


def operators():
    """TensorFlow's own operators on tensors, which are harmless."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Flatten()(tf.nn.relu(inputs / 255.0 - 0.5))
    return keras.Model(inputs, layers.Dense(2)(x), name="operators")


def test_the_loaded_model_answers_as_the_saved_one(model, tmp_path):
    for saved, name in ((model, "model.h5"), (model, "model"), (operators(), "operators.h5")):
        saved.save(tmp_path / name)
        found = classifier.load(tmp_path / name)
        assert [layer.name for layer in found.layers] == [layer.name for layer in saved.layers]
        both = (answers.keras_probabilities(m, IMAGES) for m in (found, saved))
        np.testing.assert_array_equal(*both)


def described(path, config, version="2.15.0"):
    """An .h5 file with a description and no weights."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version
        file.attrs["model_config"] = json.dumps(config)
    return path


ODD = {"name": "odd", "config": {"name": "odd", "function": "io.write_file"}}
START = {"kernel_initializer": {"module": "os", "class_name": "system", "config": "true"}}
DEEP = {"class_name": "Lambda", "config": {"name": "odd"}}
INSIDE = {"config": {"name": "each", "layer": DEEP, "layers": [DEEP]}}


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"class_name": "Lambda"} | ODD, "the layer 'odd' is a Lambda"),
        ({"class_name": "TextVectorization"} | ODD, "is a TextVectorization"),
        ({"class_name": "TFOpLambda"} | ODD, "the layer 'odd' calls tf.io.write_file"),
        ({"config": {"name": "odd"} | START}, "names the Python module 'os'"),
        ({"class_name": "TimeDistributed"} | INSIDE, "the layer 'odd' is a Lambda"),
    ],
)
def test_code_is_refused_by_the_layers_name(model, tmp_path, layer, said):
    config = json.loads(model.to_json())
    config["config"]["layers"][2] |= layer
    with pytest.raises(QlabError, match=f"{said}, not one of Keras' own layers"):
        classifier.load(described(tmp_path / "a.h5", config))


def test_other_formats_say_what_they_are(model, tmp_path):
    with zipfile.ZipFile(tmp_path / "new.keras", "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.15.1"}')
    described(tmp_path / "three.h5", {}, "3.15.1")
    model.save_weights(tmp_path / "weights.h5")
    (tmp_path / "junk.h5").write_bytes(b"junk")
    tf.saved_model.save(tf.Module(), str(tmp_path / "plain"))
    for name, said in {
        "none.h5": "There is no model at",
        "new.keras": "of Keras 3, or holds weights alone. Save the whole model with Keras 2",
        "three.h5": r"\(saved by Keras 3.15.1\): .* Save the whole",
        "weights.h5": "model_config",
        "junk.h5": "file signature not found",
        "": "keras_metadata.pb",
        "plain": "holds no functional or sequential model",
    }.items():
        with pytest.raises(QlabError, match=said):
            classifier.load(tmp_path / name)


@pytest.mark.parametrize(
    ("inputs", "outputs", "channels", "classes", "found"),
    [
        (2, 1, 3, 2, r"inputs \[\[None, 4, 4, 3\], \[None, 4, 4, 3\]\]"),
        (1, 2, 3, 2, r"outputs \[\[None, 2\], \[None, 2\]\]"),
        (1, 1, 7, 2, r"inputs \[\[None, 4, 4, 7\]\]"),
        (1, 1, 3, 1, r"outputs \[\[None, 1\]\]"),
    ],
)
def test_other_inputs_and_outputs_are_spelt(inputs, outputs, channels, classes, found, tmp_path):
    ends = [keras.Input((4, 4, channels)) for _ in range(inputs)]
    x = layers.Flatten()(layers.Add()(ends) if inputs > 1 else ends[0])
    made = keras.Model(ends, [layers.Dense(classes)(x) for _ in range(outputs)])
    made.save(tmp_path / "model.h5")
    with pytest.raises(QlabError, match=f"no image classifier: .* found .*{found}"):
        classifier.load(tmp_path / "model.h5")


def test_a_newer_tf_keras_default_is_left_out_of_the_description(tmp_path):
    """tf-keras 2.20 refuses the keyword; what is not the default stays, and is refused there."""
    kept = {"optional": True, "x": False}
    assert classifier._checked(kept | {"class_name": "Dense"}, tmp_path)["optional"]
    assert classifier._checked({"optional": False, "x": 0}, tmp_path) == {"x": 0}
