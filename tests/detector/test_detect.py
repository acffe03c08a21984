"""What a detector says, in COCO's terms; a made-up graph stands in for LiteRT."""

import numpy as np
import pytest
from PIL import Image

from qlab.core.errors import QlabError
from qlab.detector import detect
from qlab.detector.detect import Detector

BOXES = np.array([[[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0]]], np.float32)
ANSWERS = {"boxes": BOXES, "classes": np.array([[2.0, 0.0]]), "scores": np.array([[0.75, 0.5]])}
ZOO = ["detection_boxes", "detection_scores", "detection_classes", "num_detections"]


class Graph:
    """LiteRT's interface with fixed answers, at tensor indices 5, 6 and 7, in any order.

    With the TF2 zoo's signature, or without names as TFLite_Detection_PostProcess has them.
    """

    def __init__(self, dtype, zoo: bool):
        self.dtype, self.zoo, self.given = dtype, zoo, []
        self.order = ("scores", "boxes", "classes") if zoo else ("boxes", "classes", "scores")

    def get_input_details(self):
        return [{"index": 0, "shape": np.array([1, 8, 8, 3]), "dtype": self.dtype}]

    def get_output_details(self):
        if self.zoo:
            return {f"detection_{n}": {"index": 5 + i} for i, n in enumerate(self.order)}
        return [{"index": 5 + i} for i in range(4)]

    def get_signature_list(self):
        return {"serving_default": {"outputs": ZOO}} if self.zoo else {}

    def get_signature_runner(self):
        return self

    def get_tensor(self, index):
        return ANSWERS[self.order[index - 5]]

    def set_tensor(self, index, value):
        self.given.append((index, value))

    def invoke(self):
        pass


@pytest.fixture
def detector(tmp_path, monkeypatch):
    """made(dtype, zoo): a Detector around a graph."""
    (tmp_path / "a.tflite").touch()

    def made(dtype, zoo):
        graph = Graph(dtype, zoo)
        monkeypatch.setattr(detect, "interpreter", lambda *_: graph)
        return Detector(tmp_path / "a.tflite", 1)

    return made


@pytest.mark.parametrize(("zoo", "classes"), [(True, [2, 0]), (False, [3, 1])])
def test_both_kinds_of_files_give_boxes_classes_and_scores(detector, zoo, classes):
    boxes, found, scores = detector(np.uint8, zoo)(np.zeros((4, 4, 3), np.uint8))
    assert (boxes == BOXES[0]).all() and found.tolist() == classes
    assert scores.tolist() == [0.75, 0.5]


def test_a_float_input_gets_pixels_from_minus_one_to_one(detector):
    made = detector(np.float32, False)
    image = np.zeros((8, 8, 3), np.uint8)
    image[0] = 255
    made.set_image(image)
    index, given = made.interpreter.given[-1]
    assert index == 0 and given.shape == (1, 8, 8, 3) and given.dtype == np.float32
    assert (given[0, 0] == 1).all() and (given[0, 1:] == -1).all()


def test_boxes_become_pixels_and_padding_is_dropped():
    found = (BOXES[0], np.array([2, 1]), np.array([0.75, 0.0]))
    assert detect.coco_results(found, 7, width=200, height=100) == [
        {"image_id": 7, "category_id": 2, "bbox": [40.0, 10.0, 140.0, 40.0], "score": 0.75}
    ]
    broken = (BOXES[0], np.array([2, 1]), np.array([np.nan, -1.0]))
    assert len(detect.coco_results(broken, 7, 200, 100)) == 1  # kept, to be refused
    none = (np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    assert detect.coco_results(none, 7, 200, 100) == []


def test_the_whole_image_is_squeezed_not_cropped():
    image = np.zeros((10, 40, 3), np.uint8)
    image[:, 20:] = 200
    small = detect.resized(image, 8)
    assert small.shape == (8, 8, 3)
    assert (small[:, :3] == 0).all() and (small[:, 5:] == 200).all()
    assert detect.resized(small, 8) is small


def test_several_detectors_share_what_was_read_and_changed_and_answers_are_kept(
    tmp_path, monkeypatch
):
    """Two grey images of different size, and detectors that count their calls."""
    monkeypatch.setenv("QLAB_HOME", str(tmp_path / "home"))
    images = {i: tmp_path / f"{i}.png" for i in (3, 4)}
    for i, (width, height) in {3: (40, 20), 4: (10, 30)}.items():
        Image.fromarray(np.full((height, width, 3), i, np.uint8)).save(images[i])
    seen, changed, score = [], [], [0.75]

    def answer(image):
        seen.append(int(image[0, 0, 0]))
        return BOXES[0], np.array([2, 1]), np.array([score[0], 0.0])

    def change(image, image_id):
        changed.append(image_id)
        return image + 5

    monkeypatch.setattr(detect, "Detector", lambda file, threads: answer)
    models = [tmp_path / "a.tflite", tmp_path / "b.tflite"]
    for model in models:
        model.write_text(model.name)
    found = detect.detect_each(models, images, 1, change, "brighter")
    assert changed == [3, 4] and seen == [8, 8, 9, 9] and found[0] == found[1]
    assert [r["bbox"] for r in found[0]] == [[8.0, 2.0, 28.0, 8.0], [2.0, 3.0, 7.0, 12.0]]
    assert [r["image_id"] for r in found[0]] == [3, 4]
    assert detect.detect_each(models, images, 1, change, "brighter") == found and len(seen) == 4
    models[0].write_text("another")
    detect.detect_each(models, images, 1, change, "brighter")
    assert len(seen) == 8
    score[0] = np.nan
    with pytest.raises(QlabError, match=r"a\.tflite: .* image 3 is not a finite number"):
        detect.detect_each(models, images, 1)
