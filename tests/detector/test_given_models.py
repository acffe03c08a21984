"""SavedModels as people have them: inputs that are no squares, operators that LiteRT lacks."""

import dataclasses
from types import SimpleNamespace

import notebook01
import numpy as np
import pytest
from tiny_coco import written_world

from qlab.core.errors import QlabError
from qlab.core.tf import tf
from qlab.detector import data
from qlab.detector.detect import Detector

SAMPLES = [np.full((32, 64, 3), v, np.uint8) for v in (255, 90)]


def saved(folder, also=lambda image: 0.0):
    """A detector with the TF2 zoo's signature: one box, scored by how bright its image is."""
    tf.random.set_seed(0)
    holder = tf.Module()
    holder.kernel = tf.Variable(tf.random.uniform((3, 3, 3, 4)))

    @tf.function(input_signature=[tf.TensorSpec((1, 32, 64, 3), tf.uint8, "input_tensor")])
    def serve(input_tensor):
        image = tf.cast(input_tensor, tf.float32) / 255
        bright = tf.reduce_mean(tf.nn.conv2d(image, holder.kernel, 2, "SAME"), (1, 2, 3)) / 20
        boxes = tf.constant([[[0.25, 0.5, 0.75, 1.0]]])
        scores = bright[:, None] + also(image)
        return {"detection_boxes": boxes + 0 * bright, "detection_scores": scores,
                "detection_classes": 1 + 0 * scores, "num_detections": 1 + 0 * bright}  # fmt: skip

    tf.saved_model.save(holder, str(folder), signatures={"serving_default": serve})
    return folder


def test_a_detector_whose_input_is_no_square_runs_as_savedmodel_and_as_file(home, tmp_path):
    folder, photos = saved(tmp_path / "net"), written_world(tmp_path, 8, (20, 10))
    task = data.prepare(data.Parameters(profile="smoke", model=str(folder), **photos))
    assert task.size == (32, 64) and str(task.size) == "32 x 64"
    assert task.settings()["input_size"] == [32, 64]
    assert [image.shape for image in task.calibration] == [(32, 64, 3)] * 2
    task = dataclasses.replace(task, calibration=SAMPLES)
    made = notebook01.run(task, *notebook01.TOOLS, "VARIANTS = ")
    files, bright = [made.files[v] for v in ("fp32", "int8_static")], []
    for file in files:
        detector = Detector(file, 1)
        assert detector.size == task.size
        boxes, classes, scores = detector(np.full((10, 20, 3), 200, np.uint8))
        np.testing.assert_allclose(boxes, [[0.25, 0.5, 0.75, 1.0]], atol=0.01)
        assert classes.tolist() == [1]
        bright.append(float(scores[0]))
    assert bright[0] == pytest.approx(bright[1], abs=0.02) and 0.1 < bright[0] < 1
    ready = data.prepare(data.Parameters(profile="smoke", model=str(files[0]), **photos))
    assert ready.size == task.size and ready.ready
    with pytest.raises(QlabError, match="of 32 x 64 pixels .* asks for 64"):
        data.prepare(data.Parameters(profile="smoke", model=str(folder), input_size=64, **photos))


def test_operators_that_litert_lacks_are_named_in_a_sentence(home, tmp_path):
    def lacking(image):
        odd = tf.raw_ops.Betainc(a=image + 1, b=image + 1, x=image)
        return 1e-3 * tf.reduce_mean(odd + tf.image.adjust_hue(image, 0.1))

    folder = saved(tmp_path / "net", lacking)
    task = SimpleNamespace(ready=False, folder=folder, size=(32, 64), given=None)
    convert = notebook01.run(task, "import COCOeval", "started = ", "def convert(").convert
    with pytest.raises(QlabError) as told:
        convert("FLOAT32")
    assert "has no operator for AdjustHue, Betainc of this model" in str(told.value)
    assert len(str(told.value)) < 200 and "\n" not in str(told.value)
