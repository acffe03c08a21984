"""What the embedded CenterNet learns from: targets of drawn scenes, and losses.

Equations are those of Zhou et al., "Objects as Points" (arXiv 1904.07850).
"""

from collections.abc import Iterator

import numpy as np

from qlab.detector import mini_coco
from qlab.detector.centernet import STRIDE, Architecture, tf


def gaussian_radius(height: float, width: float, overlap: float = 0.7) -> float:
    """How far (in cells) a corner pair may move and still overlap its box by `overlap` IoU.

    The smallest of the three cases of Law and Deng (arXiv 1808.01244, section 3.2):
    both corners outside, both inside, one of each.
    """
    total, area = height + width, height * width
    one_each = (total - np.sqrt(total**2 - 4 * area * (1 - overlap) / (1 + overlap))) / 2
    inside = (total - np.sqrt(total**2 - 4 * area * (1 - overlap))) / 4
    grown = area * (1 - overlap) / overlap
    outside = (-total + np.sqrt(total**2 + 4 * grown)) / 4
    return float(max(0.0, min(one_each, inside, outside)))


def targets(boxes: np.ndarray, classes: np.ndarray, a: Architecture) -> dict[str, np.ndarray]:
    """Training targets of one image, whose boxes [n, 4] are x, y, width, height in pixels.

    `heat` [h, w, classes]; `size` and `offset` [h, w, 3], whose third channel is 1 at centres,
    where alone they are learned.
    """
    cells = a.image_size // STRIDE
    heat = np.zeros((cells, cells, a.classes), np.float32)
    size = np.zeros((cells, cells, 3), np.float32)
    offset = np.zeros((cells, cells, 3), np.float32)
    grid = np.arange(cells)
    for (x, y, w, h), c in zip(boxes / STRIDE, classes, strict=True):
        cx, cy = x + w / 2, y + h / 2
        i, j = min(int(cx), cells - 1), min(int(cy), cells - 1)
        sigma = (2 * int(gaussian_radius(h, w)) + 1) / 6
        bell_x, bell_y = (np.exp(-((grid - v) ** 2) / (2 * sigma**2)) for v in (i, j))
        heat[..., c] = np.maximum(heat[..., c], bell_y[:, None] * bell_x)
        size[j, i] = w, h, 1
        offset[j, i] = cx - i, cy - j, 1
    return {"heat": heat, "size": size, "offset": offset}


def samples(a: Architecture, count: int, seed: int) -> Iterator[tuple[np.ndarray, dict]]:
    """Images [h, w, 3] of mini_coco's training split with their targets, without end.

    Every epoch is shuffled anew, and half of its images are mirrored.
    """
    scenes = [mini_coco.draw_scene("train", i) for i in range(count)]
    truth = [mini_coco.detection_targets(mini_coco.annotate(s, 0, 0)) for s in scenes]
    rng = np.random.default_rng(seed)
    while True:
        for i in rng.permutation(count):
            image, (boxes, classes) = scenes[i].pixels, truth[i]
            if rng.random() < 0.5:
                x = image.shape[1] - boxes[:, 0] - boxes[:, 2]
                image, boxes = image[:, ::-1], np.column_stack([x, boxes[:, 1:]])
            yield image, targets(boxes, classes, a)


def dataset(a: Architecture, count: int, seed: int) -> tf.data.Dataset:
    """`samples` for Keras."""
    one = tf.nest.map_structure(tf.constant, next(samples(a, 1, seed)))
    kinds = tf.nest.map_structure(tf.TensorSpec.from_tensor, one)
    return tf.data.Dataset.from_generator(lambda: samples(a, count, seed), output_signature=kinds)


def focal_loss(true: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Equation 1, alpha = 2, beta = 4, per object in the batch; both are [n, h, w, classes]."""
    p = tf.sigmoid(logits)
    centre = tf.cast(true >= 1.0, tf.float32)
    hit = centre * (1 - p) ** 2 * tf.math.log_sigmoid(logits)
    miss = (1 - centre) * (1 - true) ** 4 * p**2 * tf.math.log_sigmoid(-logits)
    return -tf.reduce_sum(hit + miss) / tf.maximum(tf.reduce_sum(centre), 1.0)


def centre_l1(true: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """Equations 2 and 3: mean absolute error at the centres, over both channels.

    `predicted` is [n, h, w, 2]; `true` is [n, h, w, 3], the last channel 1 at the centres.
    """
    at = true[..., 2:]
    error = tf.reduce_sum(tf.abs(true[..., :2] - predicted) * at)
    return error / tf.maximum(tf.reduce_sum(at), 1.0)
