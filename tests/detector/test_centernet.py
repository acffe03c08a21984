"""The network against what is known of it: an equal twin, targets that decode, its losses."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import shown
from conftest import ROOT
from networks import centernet as network
from networks import lively

from qlab.detector import centernet, mini_coco
from qlab.tflite.keras import keras
from qlab.tflite.tf import tf

NETWORK = ("block", "backbone", "heads", "model")


def trained(*ids: str, **names) -> SimpleNamespace:
    """What cells of the training notebook define, its imports and targets first."""
    known = {c.id: c.source for c in shown.cells("train_centernet")}
    names |= {"profile": "smoke", "seed": 7}
    exec("\n".join(known[i] for i in ("imports", "radius", "targets", *ids)), names)
    return SimpleNamespace(**names)


targets, objects = trained().targets, trained().objects


def test_subpixel_twin_computes_the_same_function():
    keras.utils.set_random_seed(0)
    model = lively(network(), np.random.default_rng(0))
    twin = centernet.to_subpixel(model)
    image = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    for name, value in model(image).items():
        scale = float(abs(value.numpy()).max())
        np.testing.assert_allclose(twin(image)[name], value, atol=2e-5 * scale, err_msg=name)
    kinds = [type(layer).__name__ for layer in twin.layers]
    assert "Conv2DTranspose" not in kinds and kinds.count("Lambda") == 1


def test_gaussian_radius_keeps_the_overlap():
    """Moving a corner pair by the radius still overlaps the box by 0.7, in the tightest case."""
    gaussian_radius = trained().gaussian_radius
    for height, width in ((10, 10), (4, 30), (25, 7)):
        r = gaussian_radius(height, width)
        both_in = (height - 2 * r) * (width - 2 * r) / (height * width)
        both_out = height * width / ((height + 2 * r) * (width + 2 * r))
        crossed = (height - r) * (width - r)
        shifted = crossed / (2 * height * width - crossed)
        assert min(both_in, both_out, shifted) == pytest.approx(0.7, abs=1e-6)


def test_only_peaks_among_their_eight_neighbours_in_their_class_are_objects():
    maps = {k: np.zeros((1, 8, 8, 2), np.float32) for k in ("heat", "size", "offset")}
    maps["heat"] -= 9
    maps["heat"][0, 2, 2:5, 0] = 3.0, 1.0, 2.0  # the middle one is a slope, two cells off a peak
    maps["heat"][0, 2, 3, 1] = 0.5
    boxes, scores, labels = centernet.decode(maps, top=4)
    sure = 1 / (1 + np.exp([-3.0, -2.0, -0.5]))
    np.testing.assert_allclose(scores[0, :3], sure, rtol=1e-5)
    assert labels[0, :3].numpy().tolist() == [0, 0, 1] and scores[0, 3] < 0.01
    np.testing.assert_allclose(boxes[0, :3, 1] * 8, [2, 4, 3])
    maps["heat"][0, 0, 7, 0], maps["size"][0, 0, 7] = 5.0, 6  # a box ends at the image
    assert centernet.decode(maps, top=1)[0][0, 0].numpy().tolist() == [0, 0.5, 0.375, 1]


def test_an_exported_network_counts_classes_from_one(tmp_path):
    keras.utils.set_random_seed(0)
    centernet.export(model := network(), tmp_path / "m")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    serve = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"]
    found = serve(input_tensor=tf.constant(pixels))
    boxes, scores, classes = centernet.decode(model(pixels.astype(np.float32)))
    np.testing.assert_allclose(found["detection_boxes"], boxes, atol=1e-5)
    np.testing.assert_allclose(found["detection_scores"], scores, atol=1e-5)
    assert (found["detection_classes"].numpy() == classes.numpy() + 1).all()
    assert found["num_detections"].numpy().tolist() == [100]


def test_the_losses_are_equations_one_to_three():
    made = trained("losses")
    true, logits = np.array([1.0, 0.5], np.float32), np.log([4.0, 4.0]).astype(np.float32)
    expected = -(0.2**2 * np.log(0.8) + 0.5**4 * 0.8**2 * np.log(0.2))
    assert float(made.focal_loss(true, logits)) == pytest.approx(expected, rel=1e-5)
    twice = (np.tile(x, 2) for x in (true, logits))  # per object, not in total
    assert float(made.focal_loss(*twice)) == pytest.approx(expected, rel=1e-5)
    size = np.zeros((1, 2, 2, 3), np.float32)
    size[0, 0, 0], size[0, 1, 1] = (4, 6, 1), (1, 1, 1)
    answer = np.full((1, 2, 2, 2), 3, np.float32)  # wrong by 1 + 3 and by 2 + 2 at the centres
    assert float(made.centre_l1(size, answer)) == pytest.approx(4)


def test_a_mirrored_training_image_has_mirrored_targets():
    scenes = [mini_coco.draw_scene("train", i) for i in range(2)]
    answers, known = [objects(s) for s in scenes], {}
    for scene, (boxes, classes) in zip(scenes, answers, strict=True):
        x = 256 - boxes[:, 0] - boxes[:, 2]
        flipped = scene.pixels[:, ::-1], np.column_stack([x, boxes[:, 1:]])
        for image, place in ((scene.pixels, boxes), flipped):
            known[image.tobytes()] = targets(place, classes)
    stream = trained("samples", scenes=scenes, answers=answers).samples()
    seen = {image.tobytes(): made for image, made in itertools.islice(stream, 16)}
    np.testing.assert_equal(seen, known)


def test_a_network_that_answers_with_the_targets_scores_one(tmp_path, monkeypatch):
    """Targets, decoding, categories and boxes in pixels fit together up to pycocotools."""
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    scenes = (mini_coco.draw_scene("val", i) for i in range(8))

    def oracle(image, training):
        scene = next(scenes)
        assert (image[0] == scene.pixels).all()
        made = {k: v[None] for k, v in targets(*objects(scene)).items()}
        heat = np.clip(made.pop("heat"), 1e-6, 1 - 1e-6)
        return {"heat": np.log(heat / (1 - heat)), **{k: v[..., :2] for k, v in made.items()}}

    found = trained("validation", "answers", "score", model=oracle)
    assert len(found.truth.imgs) == 8 and found.ap50 == pytest.approx(1) and found.ap > 0.95


def test_the_embedded_network_is_that_of_the_notebooks_cells_and_is_well_trained(home):
    """Of all 400 images the AP is .758."""
    folder = ROOT / "data" / "models" / "centernet_mini"
    made = trained(*NETWORK).model
    ours = keras.models.model_from_json((folder / "network.json").read_text())
    assert made.get_config()["layers"] == ours.get_config()["layers"]
    ours.load_weights(folder / "weights.h5")
    assert 0.6 < trained("validation", "answers", "score", model=ours).ap < 0.9
