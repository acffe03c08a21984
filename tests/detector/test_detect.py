"""What a detector says, in COCO's terms."""

import itertools

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from PIL import Image

from qlab.core import tflite_graph
from qlab.core.errors import QlabError
from qlab.core.images import AsStored, read_image
from qlab.detector import detect
from qlab.detector.detect import Detector

BOXES = np.array([[[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0]]], np.float32)
CENTRES = np.array([[[0.3, 0.55, 0.4, 0.7], [0.5, 0.5, 1.0, 1.0]]])  # y, x, height, width
SCORES = np.array([[[0, 0, 0, 0.75], [0, 0.5, 0, 0]]])  # background, classes 0 to 2
ZOO = {"boxes": "detection_boxes", "classes": "detection_classes", "scores": "detection_scores"}
ZOO |= {"count": "num_detections"}
SHAPES = {"boxes": [1, 2, 4], "classes": [1, 2], "scores": [1, 2], "count": [1]}
OPTIONS = {"max_detections": 2, "max_classes_per_detection": 1, "num_classes": 3}
OPTIONS |= dict.fromkeys(["y_scale", "x_scale", "h_scale", "w_scale"], 1.0)
OPTIONS |= {"nms_score_threshold": 0.1, "nms_iou_threshold": 0.9}


def post_processing(outputs, kind=schema.TensorType.UINT8, shape=(1, 8, 8, 3), zoo=False):
    """A .tflite that answers with BOXES to any image: TFLite_Detection_PostProcess of constants.

    `outputs` lists what the file answers, in its order; `zoo` names it as the TF2 zoo does.
    """
    tensors, buffers = [], [schema.BufferT()]

    def tensor(name, shape, kind=schema.TensorType.FLOAT32, data=None) -> int:
        if data is not None:
            buffers.append(schema.BufferT(data=data.astype("<f4").view(np.uint8).ravel()))
        held = 0 if data is None else len(buffers) - 1
        tensors.append(schema.TensorT(name=name, shape=list(shape), type=kind, buffer=held))
        return len(tensors) - 1

    image = tensor("image", shape, kind)
    constants = {"encodings": 0 * CENTRES, "predictions": SCORES, "anchors": CENTRES[0]}
    read = [tensor(name, data.shape, data=data) for name, data in constants.items()]
    places = {name: tensor(name, s) for name, s in SHAPES.items()}
    options, custom = flexbuffers.Builder(), schema.BuiltinOperator.CUSTOM
    with options.Map():
        for key, value in OPTIONS.items():
            (options.Float if isinstance(value, float) else options.Int)(key, value)
    operator = {"inputs": read, "outputs": [*places.values()], "customOptions": options.Finish()}
    graph = {"inputs": [image], "outputs": [places[name] for name in outputs], "tensors": tensors}
    graph["operators"] = [schema.OperatorT(**operator)]
    code = {"builtinCode": custom, "deprecatedBuiltinCode": custom}
    made = {"version": 3, "buffers": buffers, "subgraphs": [schema.SubGraphT(**graph)]}
    made["operatorCodes"] = [schema.OperatorCodeT(customCode=detect.POST_PROCESS, **code)]
    if zoo:
        ends = {"inputs": {"image": image}, "outputs": {ZOO[n]: places[n] for n in outputs}}
        sides = {
            side: [schema.TensorMapT(name=n, tensorIndex=i) for n, i in names.items()]
            for side, names in ends.items()
        }
        made["signatureDefs"] = [schema.SignatureDefT(signatureKey="serving_default", **sides)]
    return tflite_graph.packed(schema.ModelT(**made))


@pytest.fixture
def detector(tmp_path):
    """made(...): a Detector of a file as `post_processing` has it."""

    def made(*args, **about):
        (tmp_path / "a.tflite").write_bytes(post_processing(*args, **about))
        return Detector(tmp_path / "a.tflite", 1)

    return made


@pytest.mark.parametrize("outputs", list(itertools.permutations(SHAPES)), ids=" ".join)
@pytest.mark.parametrize(("zoo", "classes"), [(True, [2, 0]), (False, [3, 1])])
def test_outputs_in_any_order_give_boxes_classes_and_scores(detector, outputs, zoo, classes):
    boxes, found, scores = detector(outputs, zoo=zoo)(np.zeros((4, 4, 3), np.uint8))
    np.testing.assert_allclose(boxes, BOXES[0], atol=1e-6)
    assert found.tolist() == classes and scores.tolist() == [0.75, 0.5]


def test_a_file_that_is_no_detector_is_refused(detector, tmp_path, monkeypatch):
    with pytest.raises(QlabError, match=r"no detector known here: .* count \[1\]\); found scores"):
        detector(["scores", "boxes"])
    with pytest.raises(QlabError, match=r"wants uint8 \[1, 8, 8, 4\] as input"):
        detector(SHAPES, shape=(1, 8, 8, 4))
    monkeypatch.setattr(detect.tflite_graph, "operators", lambda file: [])  # decodes otherwise
    assert detector(SHAPES)(np.zeros((4, 4, 3), np.uint8))[1].tolist() == [3, 1]
    with pytest.raises(QlabError, match="no detector known here"):
        detector(["scores", "boxes", "count", "classes"])


@pytest.mark.real_data
@pytest.mark.parametrize("shift", range(1, 4))
@pytest.mark.parametrize("name", ["v1_coco_quant_uint8_300", "v2_fpnlite_320_dynamic_range"])
def test_ready_files_with_other_orders_detect_the_same(real_data, tmp_path, name, shift):
    file = real_data / "detector" / f"ssd_mobilenet_{name}.tflite"
    model = tflite_graph.read(file)
    main = model.subgraphs[0]
    main.outputs, model.signatureDefs = np.roll(main.outputs, shift), []
    (tmp_path / "b.tflite").write_bytes(tflite_graph.packed(model))
    photo = read_image(min((real_data / "coco" / "val2017").glob("*.jpg")))
    answers = [Detector(f, 2)(photo) for f in (file, tmp_path / "b.tflite")]
    assert answers[0][2].max() > 0.5
    for one, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_float_input_gets_pixels_from_minus_one_to_one(detector):
    made = detector(SHAPES, kind=schema.TensorType.FLOAT32)
    image = np.zeros((8, 8, 3), np.uint8)
    image[0] = 255
    made.set_image(image)
    given = made.interpreter.get_tensor(made.input["index"])
    assert given.shape == (1, 8, 8, 3) and given.dtype == np.float32
    assert (given[0, 0] == 1).all() and (given[0, 1:] == -1).all()


def test_boxes_become_pixels_and_padding_is_dropped():
    found = (BOXES[0], np.array([2, 1]), np.array([0.75, 0.0]))
    assert detect.coco_results(found, 7, width=200, height=100) == [
        {"image_id": 7, "category_id": 2, "bbox": [40.0, 10.0, 140.0, 40.0], "score": 0.75}
    ]
    for wrong in (np.nan, -np.inf):
        broken = (BOXES[0], np.array([2, 1]), np.array([wrong, -1.0]))
        with pytest.raises(QlabError, match="image 7 is not a finite number"):
            detect.coco_results(broken, 7, 200, 100)
    padded = (BOXES[0] * [[1], [np.nan]], np.array([2, 1]), np.array([0.75, 0.0]))
    assert len(detect.coco_results(padded, 7, 200, 100)) == 1
    none = (np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    assert detect.coco_results(none, 7, 200, 100) == []


def test_the_whole_image_is_squeezed_not_cropped():
    image = np.zeros((10, 40, 3), np.uint8)
    image[:, 20:] = 200
    small = detect.resized(image, (4, 8))
    assert small.shape == (4, 8, 3)
    assert (small[:, :3] == 0).all() and (small[:, 5:] == 200).all()
    assert (detect.resized(small, (4, 8)) == small).all()


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

    def corrupt(image, kind, strength, seed):
        changed.append((kind, strength, seed))
        return image + 5

    monkeypatch.setattr(detect, "corrupt", corrupt)
    monkeypatch.setattr(detect, "Detector", lambda file, threads: answer)
    models = [tmp_path / "a.tflite", tmp_path / "b.tflite"]
    for model in models:
        model.write_text(model.name)
    worse = ("noise", 2, 10)
    found = detect.detect_each(models, images, 1, worse)
    assert changed == [("noise", 2, 13), ("noise", 2, 14)] and found[0] == found[1]
    assert seen == [8, 8, 9, 9]
    assert [r["bbox"] for r in found[0]] == [[8.0, 2.0, 28.0, 8.0], [2.0, 3.0, 7.0, 12.0]]
    assert [r["image_id"] for r in found[0]] == [3, 4]
    assert detect.detect_each(models, images, 1, worse) == found and len(seen) == 4
    models[0].write_text("another")
    detect.detect_each(models, images, 1, worse)
    assert len(seen) == 8
    detect.detect_each(models, {i: AsStored(p) for i, p in images.items()}, 1, worse)
    assert len(seen) == 12  # EXIF, unread, may hold another photo
    score[0] = np.nan
    with pytest.raises(QlabError, match=r"a\.tflite: .* image 3 is not a finite number"):
        detect.detect_each(models, images, 1)
