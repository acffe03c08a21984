"""The network against what is known of it: parameter counts, equal twins, targets that decode."""

import numpy as np
import pytest

from qlab import centernet, centernet_training, mini_coco
from qlab.centernet import MINI_256, RESNET50V2_512, Architecture

TINY = Architecture(64, 3, 8, (1, 1), (8, 16), False, (8,), 8)


@pytest.fixture(scope="module")
def tf():
    return centernet.tf


def randomized(model, seed: int = 0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) * np.where(rng.random(w.shape) < 0.5, 1, -1)
                       if w.ndim > 1 else rng.uniform(0.5, 1.5, w.shape)
                       for w in model.get_weights()])  # fmt: skip
    return model


def test_backbone_is_resnet50v2():
    from tf_keras.applications import ResNet50V2

    inputs = centernet.keras.Input((64, 64, 3))
    a = RESNET50V2_512
    ours = centernet.resnet_v2(inputs, a.stem_width, a.blocks, a.widths, a.bottleneck)
    theirs = ResNet50V2(include_top=False, weights=None, input_shape=(64, 64, 3))
    assert centernet.keras.Model(inputs, ours).count_params() == theirs.count_params()
    assert ours.shape[1:] == theirs.output_shape[1:]


def test_embedded_network_has_the_promised_size():
    assert 0.8e6 <= centernet.build(MINI_256).count_params() <= 2e6


@pytest.mark.parametrize("neck", ["transposed", "subpixel"])
def test_maps_are_a_quarter_of_the_image(neck):
    model = centernet.build(TINY, neck)
    shapes = {k: v.shape[1:] for k, v in model.output.items()}
    assert shapes == {"heat": (16, 16, 3), "size": (16, 16, 2), "offset": (16, 16, 2)}


def test_subpixel_twin_computes_the_same_function():
    model = randomized(centernet.build(TINY))
    twin = centernet.to_subpixel(model, TINY)
    image = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    for name, value in model(image).items():
        scale = float(abs(value.numpy()).max())
        np.testing.assert_allclose(twin(image)[name], value, atol=2e-5 * scale, err_msg=name)
    assert not any("deconv" in layer.name for layer in twin.layers)


def test_targets_decode_to_the_boxes_they_were_made_from(tf):
    scene = mini_coco.draw_scene("val", 1)
    boxes, classes = mini_coco.detection_targets(mini_coco.annotate(scene, 1, 1))
    made = centernet_training.targets(boxes, classes, MINI_256)
    logits = np.log(
        np.clip(made["heat"], 1e-6, 1 - 1e-6) / (1 - np.clip(made["heat"], 1e-6, 1 - 1e-6))
    )
    maps = {"heat": logits, "size": made["size"][..., :2], "offset": made["offset"][..., :2]}
    found, scores, labels = centernet.decode({k: tf.constant(v[None]) for k, v in maps.items()})
    count = len(classes)
    assert (scores[0, :count].numpy() > 0.99).all() and scores[0, count] < 0.99
    x, y, w, h = boxes.T
    expected = np.stack([y, x, y + h, x + w], 1) / 256
    order = np.lexsort(expected.T)
    mine = found[0, :count].numpy()
    np.testing.assert_allclose(mine[np.lexsort(mine.round(6).T)], expected[order], atol=1e-5)
    assert sorted(labels[0, :count].numpy()) == sorted(classes)


def test_gaussian_radius_keeps_the_overlap():
    """Moving a corner pair by the radius still overlaps the box by 0.7, in the tightest case."""
    for height, width in ((10, 10), (4, 30), (25, 7)):
        r = centernet_training.gaussian_radius(height, width)
        both_in = (height - 2 * r) * (width - 2 * r) / (height * width)
        both_out = height * width / ((height + 2 * r) * (width + 2 * r))
        crossed = (height - r) * (width - r)
        shifted = crossed / (2 * height * width - crossed)
        assert min(both_in, both_out, shifted) == pytest.approx(0.7, abs=1e-6)


def test_losses_are_zero_at_the_truth_and_positive_elsewhere(tf):
    scene = mini_coco.draw_scene("val", 0)
    boxes, classes = mini_coco.detection_targets(mini_coco.annotate(scene, 0, 1))
    made = {k: v[None] for k, v in centernet_training.targets(boxes, classes, MINI_256).items()}
    sure = np.where(made["heat"] >= 1, 30.0, -30.0).astype(np.float32)
    assert float(centernet_training.focal_loss(made["heat"], sure)) == pytest.approx(0, abs=1e-4)
    assert float(centernet_training.focal_loss(made["heat"], -sure)) > 1
    assert float(centernet_training.centre_l1(made["size"], made["size"][..., :2])) == 0
    off = made["size"][..., :2] + 1
    assert float(centernet_training.centre_l1(made["size"], off)) == pytest.approx(2)


def test_mirroring_twice_is_nothing():
    image = np.arange(4 * 6 * 3).reshape(4, 6, 3)
    boxes = np.array([[1.0, 0, 2, 3]])
    once = centernet_training.mirrored(image, boxes)
    assert (once[1][0] == [3, 0, 2, 3]).all()
    back = centernet_training.mirrored(*once)
    assert (back[0] == image).all() and (back[1] == boxes).all()
