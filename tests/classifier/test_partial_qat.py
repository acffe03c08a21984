"""The layers that were asked for are quantized, in training and in the file; no others."""

import numpy as np
import pytest
from networks import TOYS, build, lively, toy

from qlab.classifier import export, partial_qat, quantizers
from qlab.classifier.answers import tflite_probabilities
from qlab.classifier.partial_qat import keras
from qlab.core.errors import QlabError
from qlab.tflite import graph as tflite_graph

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A ResNet-8 for 16x16 images whose batch normalization is not the identity."""
    keras.utils.set_random_seed(1)
    return lively(build("resnet8", size=16), RNG)


@pytest.fixture(scope="module")
def layers(model) -> list[str]:
    return partial_qat.weighted_layers(model)


@pytest.fixture(scope="module")
def float_file(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("float") / "float.tflite"
    file.write_bytes(export.convert(model))
    return file


def test_layers_come_by_depth_and_a_shortcut_before_its_block(layers):
    assert layers[0] == "stem_conv" and layers[-1] == "dense" and len(layers) == 10
    assert layers.index("stack2_shortcut") == layers.index("stack2_conv1") - 1


def test_choosing():
    abcd = ["a", "b", "c", "d"]
    chosen = {("last", 2): "cd", ("first", 1): "a", ("only", 3): "c", ("last", 0): ""}
    for place, expected in chosen.items():
        assert partial_qat.choose(abcd, *place) == list(expected)
    for place in (("last", 5), ("only", 0), ("first", -1)):
        with pytest.raises(QlabError):
            partial_qat.choose(abcd, *place)


PLACES = [(None, *place, 8) for place in (("last", 1), ("last", 3), ("first", 4), ("only", 9))]
# Behind their Rescaling, which tfmot does not know, the first layer is quantized too.
PLACES += [(name, "first", k, bits) for name in TOYS for k in (1, None) for bits in (8, 4)]


@pytest.mark.parametrize(("name", "where", "k", "bits"), PLACES)
def test_the_file_holds_just_the_chosen_layers_in_integers(model, tmp_path, name, where, k, bits):
    network = toy(name) if name else model
    layers = partial_qat.weighted_layers(network)
    chosen, file = partial_qat.choose(layers, where, k or len(layers)), tmp_path / "q.tflite"
    file.write_bytes(export.convert(partial_qat.quantized(network, chosen, bits)))
    export.check(file, layers, chosen, bits)
    types = export.weight_types(file, layers)
    assert [name for name in layers if types[name] == f"INT{bits}"] == chosen


def test_ranges_start_where_the_float_model_has_them(model, layers):
    wrapped = partial_qat.quantized(model, layers)
    quantizers.calibrate(wrapped, model, IMAGES, batch=4)
    relu = model.get_layer("stack1_relu1")
    seen = keras.Model(model.input, relu.output)(IMAGES.astype(np.float32)).numpy()
    most = np.mean([seen[:4].max(), seen[4:].max()])
    by_name = {v.name: v.numpy() for v in wrapped.non_trainable_variables}
    assert by_name["quant_stack1_relu1/output_max:0"] == pytest.approx(most, rel=1e-5)
    assert by_name["quant_stack1_relu1/output_min:0"] == 0
    logits = [v for n, v in by_name.items() if "quant_dense/pre_activation" in n]
    assert min(logits) < 0 and max(np.abs(logits)) != pytest.approx(6)
    floats, fakes = (np.asarray(m(IMAGES.astype(np.float32))) for m in (model, wrapped))
    assert (floats.argmax(1) == fakes.argmax(1)).mean() > 0.8


def test_trained_weights_come_back_by_name(model, layers):
    wrapped = partial_qat.quantized(model, layers[-3:])
    for variable in wrapped.trainable_variables:
        variable.assign(variable + 0.5)
    back = partial_qat.plain(wrapped, model)
    for name in layers:
        found, before = (m.get_layer(name).get_weights()[0] for m in (back, model))
        assert np.allclose(found, before + 0.5)


def test_a_layer_and_an_activation_that_tfmot_does_not_know_are_named():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.ELU(name="elu")(keras.layers.Conv2D(4, 3, name="conv")(inputs))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="elu", name="dense")(x))
    for chosen, said in {"conv": "elu", "dense": "Only some Keras activations"}.items():
        with pytest.raises(QlabError, match=f"{said}.*leave_float"):
            partial_qat.quantized(model, [chosen])
    left = quantizers.wrappers(partial_qat.quantized(model, ["conv"], leave_float=["elu"]))
    assert list(left.loc[left["wrapped"], "layer"]) == ["conv"]


def test_ptq_leaves_a_layer_without_weights_float(float_file, layers, tmp_path):
    file, pooled = tmp_path / "q.tflite", []
    for left in ((), ("pool",)):
        file.write_bytes(export.ptq(float_file, layers, 8, IMAGES, leave_float=left))
        export.check(file, layers, layers)
        outputs = [o.outputs[0] for o in tflite_graph.operators(file)]
        types = tflite_graph.tensor_types(file)
        pooled.append(next(types[output] for output in outputs if "pool" in output))
    assert pooled == ["INT8", "FLOAT32"]


def test_files_of_4_bit_training_hold_4_bits_and_answer_as_the_graph(model, layers, tmp_path):
    wrapped = partial_qat.quantized(model, layers, weight_bits=4)
    quantizers.calibrate(wrapped, model, IMAGES)
    file = tmp_path / "four.tflite"
    file.write_bytes(export.convert(wrapped))
    export.check(file, layers, layers, bits=4)
    expected = np.asarray(wrapped(IMAGES.astype(np.float32), training=False))
    assert np.abs(tflite_probabilities(file, IMAGES, 1) - expected).mean() < 0.02
