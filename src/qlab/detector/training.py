"""How the embedded CenterNet is trained: targets, losses, loop.

Equations are those of Zhou et al., "Objects as Points" (arXiv 1904.07850).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from qlab.core.cache import versions
from qlab.core.images import read_image
from qlab.core.steps_bar import StepsBar
from qlab.detector import coco, embedded, mini_coco
from qlab.detector.centernet import STRIDE, Architecture, build, decode, keras, tf
from qlab.detector.detect import coco_results

SETTINGS = {
    "smoke": {"images": 64, "epochs": 1, "batch": 16, "rate": 2e-3},
    "mini": {"images": mini_coco.COUNTS["train"], "epochs": 20, "batch": 16, "rate": 2e-3},
}


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
    """Training targets of one image.

    `boxes` [n, 4] are x, y, width, height in pixels. Returns `heat`
    [h, w, classes], `size` and `offset` [h, w, 3]; the third channel is 1 at
    centres, where alone size and offset are learned.
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


def mirrored(image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image [h, w, 3] and its boxes [n, 4] (x, y, w, h) flipped left to right."""
    x = image.shape[1] - boxes[:, 0] - boxes[:, 2]
    return image[:, ::-1], np.column_stack([x, boxes[:, 1:]])


def _samples(a: Architecture, count: int, seed: int) -> Iterator[tuple[np.ndarray, dict]]:
    scenes = [mini_coco.draw_scene("train", i) for i in range(count)]
    truth = [mini_coco.detection_targets(mini_coco.annotate(s, 0, 0)) for s in scenes]
    rng = np.random.default_rng(seed)
    while True:
        for i in rng.permutation(count):
            image, (boxes, classes) = scenes[i].pixels, truth[i]
            if rng.random() < 0.5:
                image, boxes = mirrored(image, boxes)
            yield image, targets(boxes, classes, a)


def train(
    a: Architecture, folder: Path, *, images: int, epochs: int, batch: int, rate: float, seed: int
) -> keras.Model:
    """Train on mini_coco's training split; a killed run goes on from its last epoch in `folder`.

    Adam with one warm-up and a cosine; the returned weights are an exponential
    moving average. `history.csv` in `folder` logs each epoch.
    """
    keras.utils.set_random_seed(seed)
    cells = a.image_size // STRIDE
    shape = {"heat": a.classes, "size": 3, "offset": 3}
    data = tf.data.Dataset.from_generator(
        lambda: _samples(a, images, seed),
        output_signature=(
            tf.TensorSpec((a.image_size, a.image_size, 3), tf.uint8),
            {k: tf.TensorSpec((cells, cells, c), tf.float32) for k, c in shape.items()},
        ),
    )
    steps = images // batch
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, epochs * steps, warmup_target=rate, warmup_steps=steps // 2
    )
    resumed = (folder / "backup").is_dir()
    model = build(a)
    model.compile(
        keras.optimizers.Adam(schedule, clipnorm=10.0, use_ema=True, ema_momentum=0.998),
        loss={"heat": focal_loss, "size": centre_l1, "offset": centre_l1},
        loss_weights={"heat": 1.0, "size": 0.1, "offset": 1.0},
    )
    model.fit(
        data.batch(batch).prefetch(4),
        steps_per_epoch=steps,
        epochs=epochs,
        verbose=2,
        callbacks=[
            keras.callbacks.BackupAndRestore(str(folder / "backup")),
            keras.callbacks.CSVLogger(str(folder / "history.csv"), append=resumed),
            StepsBar("CenterNet", steps, epochs),
        ],
    )
    return model


def average_precision(model: keras.Model, images: int) -> tuple[float, float, int]:
    """AP and AP50 of a float model on mini_coco's validation split, and the number of images.

    Runs the Keras model itself, without TFLite: the yardstick for `fp32`.
    """
    root = embedded.mini_coco_folder("val", images)
    truth = coco.load_annotations(root / "annotations" / "instances_val.json")
    results: list[dict] = []
    for image_id, path in coco.image_paths(truth, sorted(truth.imgs), root / "val").items():
        image = read_image(path)
        found = decode(model(image[None].astype(np.float32), training=False))
        boxes, scores, classes = (t[0].numpy() for t in found)
        results += coco_results((boxes, classes + 1, scores), image_id, *image.shape[1::-1])
    summary = coco.summary(coco.match(truth, results, sorted(truth.imgs)))
    return float(summary[0]), float(summary[1]), len(truth.imgs)


def card(
    model: keras.Model, settings: dict, seed: int, ap: float, ap50: float, images: int
) -> dict[str, Any]:
    """The facts a model card of the embedded CenterNet states."""
    score = {"dataset": "mini_coco val", "ap": round(ap, 4), "ap50": round(ap50, 4)}
    return {
        "model": "CenterNet with a ResNet-v2 backbone, qlab.detector.centernet.MINI_256",
        "parameters": model.count_params(),
        "command": "make train",
        "data": "mini_coco train",
        "seed": seed,
        "settings": settings,
        "score": score | {"images": images},
        "licence": "MIT",
        "versions": versions("tensorflow", "tf-keras", "numpy"),
    }
