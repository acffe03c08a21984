"""What a detector says, in COCO's terms; SavedModels and files as people have them."""

import dataclasses
import itertools
from types import SimpleNamespace
from unittest.mock import Mock

import notebook01
import numpy as np
import pytest
from PIL import Image
from tiny_coco import written_world

from qlab.core.errors import QlabError
from qlab.detector import data, detect
from qlab.detector.detect import Detector
from qlab.images.photos import AsStored
from qlab.tflite import graph as tflite_graph
from qlab.tflite.tf import tf

BOXES = np.array([[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0]])
READY = {"boxes": BOXES[None], "classes": np.array([[2.1, 0]]), "scores": np.array([[0.75, 0.5]])}
READY |= {"count": np.array([2.0])}  # what a ready file answers, classes from 0


@pytest.fixture
def detector(tmp_path, monkeypatch):
    """made(outputs): a Detector of a ready file whose outputs come in this order."""
    last = [tflite_graph.Operator(detect.POST_PROCESS, (), tuple(READY))]
    monkeypatch.setattr(detect.tflite_graph, "operators", lambda file: last)
    (tmp_path / "a.tflite").touch()

    def made(outputs, dtype=np.uint8, shape=(1, 8, 8, 3)):
        shapes = [(n, np.array(READY[n].shape)) for n in outputs]
        ends = [{"name": n, "index": i, "shape": size} for i, (n, size) in enumerate(shapes)]
        held = Mock(get_signature_list=dict, get_tensor=lambda i: READY[ends[i]["name"]])
        entry = {"index": 0, "dtype": dtype, "shape": np.array(shape)}
        held.get_input_details.return_value = [entry]
        held.get_output_details.return_value = ends
        monkeypatch.setattr(detect, "interpreter", lambda *_: held)
        return Detector(tmp_path / "a.tflite", 1)

    return made


@pytest.mark.parametrize("outputs", list(itertools.permutations(READY)), ids=" ".join)
def test_outputs_in_any_order_give_boxes_classes_and_scores(detector, outputs):
    boxes, classes, scores = detector(outputs)(np.zeros((4, 4, 3), np.uint8))
    np.testing.assert_allclose(boxes, BOXES)
    assert classes.tolist() == [3, 1] and scores.tolist() == [0.75, 0.5]


def test_a_file_that_is_no_detector_is_refused(detector, monkeypatch):
    with pytest.raises(QlabError, match=r"no detector known here: .* count \[1\]\); found scores"):
        detector(["scores", "boxes"])
    with pytest.raises(QlabError, match=r"wants uint8 \[1, 8, 8, 4\] as input"):
        detector(READY, shape=(1, 8, 8, 4))
    monkeypatch.setattr(detect.tflite_graph, "operators", lambda file: [])  # decodes otherwise
    assert detector(READY)(np.zeros((4, 4, 3), np.uint8))[1].tolist() == [3, 1]
    with pytest.raises(QlabError, match="no detector known here"):
        detector(["scores", "boxes", "count", "classes"])


def test_a_float_input_gets_pixels_from_minus_one_to_one(detector):
    made = detector(READY, np.float32)
    image = np.zeros((8, 8, 3), np.uint8)
    image[0] = 255
    made.set_image(image)
    given = made.interpreter.set_tensor.call_args.args[1]
    assert given.shape == (1, 8, 8, 3) and given.dtype == np.float32
    assert (given[0, 0] == 1).all() and (given[0, 1:] == -1).all()


def test_boxes_become_pixels_padding_is_dropped_and_no_number_is_refused():
    expected = {"image_id": 7, "category_id": 2, "bbox": [40.0, 10.0, 140.0, 40.0], "score": 0.75}
    for boxes in (BOXES, BOXES * [[1], [np.nan]]):
        found = (boxes, np.array([2, 1]), np.array([0.75, 0.0]))
        assert detect.coco_results(found, 7, width=200, height=100) == [expected]
    for wrong in (np.nan, -np.inf):
        with pytest.raises(QlabError, match="image 7 is not a finite number"):
            detect.coco_results((BOXES, np.array([2, 1]), np.array([wrong, -1.0])), 7, 200, 100)
    none = (np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    assert detect.coco_results(none, 7, 200, 100) == []


def test_answers_are_kept_for_the_same_question_only(empty_home, monkeypatch):
    """A grey image of 40 x 20 pixels, and two detectors that note what they see."""
    seen, images = [], {3: empty_home / "3.png"}
    Image.new("RGB", (40, 20), (3, 3, 3)).save(images[3])

    def answer(image):
        seen.append(int(image[0, 0, 0]))
        return BOXES, np.array([2, 1]), np.array([0.75, 0.0])

    monkeypatch.setattr(detect, "Detector", lambda file, threads: answer)
    monkeypatch.setattr(detect, "corrupt", lambda image, kind, strength, seed: image + seed)
    models, worse = [empty_home / "a.tflite", empty_home / "b.tflite"], ("brighter", 1, 5)
    for model in models:
        model.write_text(model.name)
    found = [detect.detect_each(models, images, 1, worse) for _ in range(2)]
    assert seen == [11, 11] and found[0] == found[1] and found[0][0] == found[0][1]
    assert [(r["image_id"], r["bbox"]) for r in found[0][0]] == [(3, [8.0, 2.0, 28.0, 8.0])]
    detect.detect_each(models, images, 1, ("brighter", 2, 5))
    detect.detect_each(models, {3: AsStored(images[3])}, 1, worse)  # EXIF, unread: another photo
    models[0].write_text("another")
    detect.detect_each(models, images, 1, worse)
    assert len(seen) == 8


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
