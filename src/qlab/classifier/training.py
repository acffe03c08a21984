"""How the embedded ResNets are trained: batches, loop, score."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from qlab.classifier.resnet import build, keras, tf
from qlab.core import parameters, shapes32, stats
from qlab.core.cache import versions
from qlab.core.errors import QlabError
from qlab.core.labelled_images import LabelledImages
from qlab.core.steps_bar import StepsBar

# Per profile or model.
SETTINGS = {
    "smoke": {"images": 512, "epochs": 1, "batch": 64, "rate": 3e-3},
    "resnet8": {"images": shapes32.COUNTS["train"], "epochs": 20, "batch": 64, "rate": 3e-3},
    "resnet20": {"images": shapes32.COUNTS["train"], "epochs": 14, "batch": 64, "rate": 3e-3},
}


class Parameters(parameters.Training):
    """Of the notebook `train_resnet`."""

    models: str = "resnet8,resnet20"


def mirrored(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A copy of images [n, h, w, 3], about half of them flipped left to right.

    The mirror image of a shape of `shapes32` is that shape again, so labels stay right.
    """
    flipped = rng.random(len(images)) < 0.5
    return np.where(flipped[:, None, None, None], images[:, :, ::-1], images)


def _batches(
    data: LabelledImages, batch: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Endless batches, every image once an epoch but for the rest that fills no batch."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(data))
        for start in range(0, len(data) - batch + 1, batch):
            chosen = order[start : start + batch]
            yield mirrored(data.images[chosen], rng).astype(np.float32), data.labels[chosen]


def train(
    name: str,
    data: LabelledImages,
    folder: Path,
    *,
    images: int,
    epochs: int,
    batch: int,
    rate: float,
    seed: int,
) -> keras.Model:
    """Train `resnet.build(name)`; a killed run goes on from its last epoch in `folder`.

    On the first `images` of `data`: cross-entropy, Adam with one epoch of warm-up and a cosine.
    `history.csv` in `folder` logs each epoch. QlabError: fewer images than asked for or than a
    batch.
    """
    keras.utils.set_random_seed(seed)
    data = data.first(images)
    if images < batch:
        raise QlabError(f"{images} images do not fill a batch of {batch}; give more, or lower it.")
    size = data.images.shape[1]
    batches = tf.data.Dataset.from_generator(
        lambda: _batches(data, batch, seed),
        output_signature=(
            tf.TensorSpec((batch, size, size, 3), tf.float32),
            tf.TensorSpec((batch,), tf.int64),
        ),
    )
    steps = len(data) // batch
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max((epochs - 1) * steps, 1), warmup_target=rate, warmup_steps=steps
    )
    resumed = (folder / "backup").is_dir()
    model = build(name, len(data.classes), size)
    model.compile(
        keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(
        batches.prefetch(4),
        steps_per_epoch=steps,
        epochs=epochs,
        verbose=2,
        callbacks=[
            keras.callbacks.BackupAndRestore(str(folder / "backup")),
            keras.callbacks.CSVLogger(str(folder / "history.csv"), append=resumed),
            StepsBar(name, steps, epochs),
        ],
    )
    return model


def accuracy(model: keras.Model, data: LabelledImages) -> stats.Estimate:
    """Share of right answers with its Wilson 95 % interval, by the Keras model itself."""
    found = model.predict(data.images.astype(np.float32), batch_size=100, verbose=0)
    return stats.proportion(int((found.argmax(1) == data.labels).sum()), len(data))


def card(model: keras.Model, settings: dict, seed: int, score: stats.Estimate) -> dict[str, Any]:
    """The facts a model card of an embedded ResNet states."""
    return {
        "model": f"{model.name}, qlab.classifier.resnet.build, a whole tf_keras model",
        "parameters": model.count_params(),
        "command": "make train",
        "data": "shapes32 train",
        "seed": seed,
        "settings": settings,
        "score": {
            "dataset": "shapes32 test",
            "accuracy": round(score.value, 4),
            "ci_low": round(score.low, 4),
            "ci_high": round(score.high, 4),
            "images": score.n,
        },
        "licence": "MIT",
        "versions": versions("tensorflow", "tf-keras", "numpy", "pillow"),
    }


def save(model: keras.Model, folder: Path) -> None:
    """Write the whole model, without its optimizer, as `weights.h5` (Keras 2)."""
    model.save(str(folder / "weights.h5"), include_optimizer=False)
