"""What a detector says, in COCO's terms; a made-up graph stands in for LiteRT."""

import json

import numpy as np
import pytest
from PIL import Image

from qlab.detector import detect
from qlab.detector.detect import Detector

BOXES = np.array([[[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0]]], np.float32)
ANSWERS = {"boxes": BOXES, "classes": np.array([[2.0, 0.0]]), "scores": np.array([[0.75, 0.5]])}


class Graph:
    """LiteRT's interface with fixed answers, at tensor indices 5, 6, 7 and 8."""

    def __init__(self, dtype, names, count=4):
        self.dtype, self.names, self.count, self.given = dtype, names, count, []

    def get_input_details(self):
        return [{"index": 0, "shape": np.array([1, 8, 8, 3]), "dtype": self.dtype}]

    def get_output_details(self):
        return [{"index": 5 + i} for i in range(self.count)]

    def get_signature_list(self):
        return {"serving_default": {"outputs": list(self.names)}} if self.names else {}

    def get_signature_runner(self):
        return self

    def get_tensor(self, index):
        return ANSWERS[self.order[index - 5]]

    def set_tensor(self, index, value):
        self.given.append((index, value))

    def invoke(self):
        pass


class ZooGraph(Graph):
    """The TF2 zoo's signature; its tensors lie in another order."""

    order = ("scores", "boxes", "classes")

    def get_output_details(self):
        return {f"detection_{n}": {"index": 5 + i} for i, n in enumerate(self.order)}


class ReadyGraph(Graph):
    """A file that ends in TFLite_Detection_PostProcess."""

    order = ("boxes", "classes", "scores")


@pytest.fixture
def detector(tmp_path, monkeypatch):
    """made(graph): a Detector around it."""
    (tmp_path / "a.tflite").touch()

    def made(graph):
        monkeypatch.setattr(detect, "interpreter", lambda *_: graph)
        return Detector(tmp_path / "a.tflite", 1)

    return made


ZOO = ["detection_boxes", "detection_scores", "detection_classes", "num_detections"]


@pytest.mark.parametrize(
    ("graph", "classes"),
    [(ZooGraph(np.uint8, ZOO), [2, 0]), (ReadyGraph(np.uint8, []), [3, 1])],
)
def test_both_kinds_of_files_give_boxes_classes_and_scores(detector, graph, classes):
    boxes, found, scores = detector(graph)(np.zeros((4, 4, 3), np.uint8))
    assert (boxes == BOXES[0]).all() and found.tolist() == classes
    assert scores.tolist() == [0.75, 0.5]


def test_a_float_input_gets_pixels_from_minus_one_to_one(detector):
    made = detector(ReadyGraph(np.float32, []))
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


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Two grey images of different size, and a detector that counts its calls."""
    monkeypatch.setenv("QLAB_HOME", str(tmp_path / "home"))
    files = {}
    for i, (width, height) in {3: (40, 20), 4: (10, 30)}.items():
        files[i] = tmp_path / f"{i}.png"
        Image.fromarray(np.full((height, width, 3), i, np.uint8)).save(files[i])
    seen = []

    class Fake:
        size = 8

        def __init__(self, file, threads):
            pass

        def __call__(self, image):
            seen.append(int(image[0, 0, 0]))
            return BOXES[0], np.array([2, 1]), np.array([0.75, 0.0])

        def set_image(self, image):
            seen.append(int(image[0, 0, 0]))

        def invoke(self):
            seen.append("invoke")

    monkeypatch.setattr(detect, "Detector", Fake)
    model = tmp_path / "a.tflite"
    model.write_bytes(b"model")
    return model, files, seen, Fake


def test_detections_are_in_pixels_of_the_image_and_made_once(world):
    model, files, seen, _ = world
    found = detect.detect_all(model, files, 1)
    assert [r["bbox"] for r in found] == [[8.0, 2.0, 28.0, 8.0], [2.0, 3.0, 7.0, 12.0]]
    assert [r["image_id"] for r in found] == [3, 4] and seen == [3, 4]
    assert json.dumps(detect.detect_all(model, files, 1)) == json.dumps(found)
    assert seen == [3, 4]
    model.write_bytes(b"another")
    detect.detect_all(model, files, 1)
    assert seen == [3, 4] * 2


def test_several_detectors_share_what_was_read_and_changed(world):
    model, files, seen, _ = world
    other, read = model.with_name("b.tflite"), []
    other.write_bytes(b"another")

    def change(image, image_id):
        read.append(image_id)
        return image + 5

    found = detect.detect_each([model, other], files, 1, change, "brighter")
    assert found == [detect.detect_all(m, files, 1) for m in (model, other)]
    assert read == [3, 4] and seen[:4] == [8, 8, 9, 9]
