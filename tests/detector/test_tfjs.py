"""A TensorFlow.js file becomes the same network in TensorFlow; another one becomes a sentence."""

import numpy as np
import pytest
from tiny_tfjs import RNG, write

from qlab.core.errors import QlabError
from qlab.detector import quantize, tfjs
from qlab.detector.detect import resized
from qlab.images.photos import read_image
from qlab.tflite.tf import tf

STEPS = {"Relu": tf.nn.relu, "Relu6": tf.nn.relu6, "Elu": tf.nn.elu}
STEPS["LeakyRelu"] = lambda x: tf.nn.leaky_relu(x, 0.4)


def answers(file, image):
    serve = tf.saved_model.load(str(tfjs.saved_model(file))).signatures["serving_default"]
    found = serve(input_tensor=tf.constant(image[None]))
    return {name: found[name].numpy() for name in quantize.OUTPUTS}


CASES = [("float32", False, "Relu6"), ("float16", False, "Relu"), ("uint8", False, "Elu")]
CASES += [("uint16", True, "LeakyRelu"), ("uint8", True, "Relu6")]


@pytest.mark.parametrize(("kind", "depthwise", "step"), CASES)
def test_fused_and_quantized_is_what_tensorflow_computes(empty_home, kind, depthwise, step):
    file, weights, bias = write(empty_home, kind, depthwise, [step])
    image = RNG.integers(0, 4, (4, 8, 3), np.uint8)
    convolve = tf.nn.depthwise_conv2d if depthwise else tf.nn.conv2d
    raw = convolve(image[None].astype(np.float32), weights, [1, 1, 1, 1], "SAME") + bias
    x1, y1, x2, y2, score, number = STEPS[step](raw).numpy().reshape(32, 6).T
    found = answers(file, image)
    assert tfjs.opened(empty_home) == tfjs.opened(file) == tfjs.saved_model(file)
    boxes = np.stack([y1 / 4, x1 / 8, y2 / 4, x2 / 8], 1)
    np.testing.assert_allclose(found["detection_boxes"][0], boxes, atol=1e-5)
    np.testing.assert_allclose(found["detection_scores"][0], score, atol=1e-5)
    assert list(found["detection_classes"][0]) == [tfjs.COCO_IDS[int(n)] for n in number]
    assert found["num_detections"] == [32]


def test_classes_are_numbered_as_coco_numbers_them():
    known = {0: 1, 11: 13, 25: 28, 40: 46, 60: 67, 61: 70, 62: 72, 79: 90}  # person to toothbrush
    assert {i: tfjs.COCO_IDS[i] for i in known} == known
    assert len(tfjs.COCO_IDS) == 80 and sorted({*tfjs.COCO_IDS}) == tfjs.COCO_IDS


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: write(f, steps=["Prelu"]), "Op type not registered 'Prelu'"),
        (lambda f: write(f, weightsManifest=[]), r"output \[1, N, 6\].*KeyError"),
        (lambda f: write(f)[0].write_text("[" * 99), "is no graph model of TensorFlow.js"),
        (lambda f: (write(f), (f / "b.bin").unlink()), "FileNotFound.*b.bin"),
        (lambda f: write(f, sides=(4, -1)), "one input"),
    ],
)
def test_another_file_is_a_sentence(empty_home, change, sentence):
    change(empty_home)
    with pytest.raises(QlabError, match=rf"model\.json.*{sentence}"):
        tfjs.saved_model(empty_home / "model.json")


@pytest.mark.real_data
def test_a_real_centernet_answers_as_the_one_unfused_by_others(empty_home, real_data):
    """Measured: no box, score or class differs in any bit."""
    folder = real_data / "detector" / "centernet_mobilenetv3_512_coco17"
    file = folder / "tfjs" / "centernet.json"
    given = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    for path in sorted((real_data / "coco" / "val2017").iterdir())[:3]:
        image = resized(read_image(path), (512, 512))
        theirs, ours = given(input_tensor=tf.constant(image[None])), answers(file, image)
        for name in quantize.OUTPUTS:
            np.testing.assert_allclose(ours[name], theirs[name].numpy(), atol=1e-6)
