"""Fine-tuning a classifier step by step."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from qlab.classifier.partial_qat import inner, keras
from qlab.core.errors import QlabError
from qlab.images.labelled import LabelledImages

Step = tuple[np.ndarray, np.ndarray]  # images float32 [batch, h, w, c], labels int64 [batch]


class Settings(NamedTuple):
    """How long and how fast a model is fine-tuned."""

    epochs: int  # passes through the training images
    batch: int = 32  # images per step
    rate: float = 5e-5  # learning rate of SGD with momentum 0.9
    cosine: bool = False  # whether the rate falls to 0 along a cosine (arXiv 1608.03983)
    mirror: bool = False  # whether images are flipped left to right, one in two on average
    frozen: bool = False  # whether batch normalization keeps the parent's statistics and scales

    def steps(self, images: int) -> int:
        """Optimizer steps in all; images that do not fill a batch are left out of their epoch."""
        return self.epochs * (images // self.batch)

    def rate_at(self, step: int, images: int) -> float:
        """The learning rate of a step, counted from 1."""
        turn = np.pi * (step - 1) / self.steps(images) if self.cosine else 0.0
        return self.rate * (1 + np.cos(turn)) / 2


def compiled(model: keras.Model, settings: Settings, logits: bool = False) -> keras.Model:
    """Return the same model, compiled: SGD, and cross-entropy of its `logits` or probabilities."""
    for layer in map(inner, model.layers):
        if settings.frozen and isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    optimizer = keras.optimizers.SGD(settings.rate, momentum=0.9)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=logits))
    return model


def batches(data: LabelledImages, settings: Settings, seed: int) -> Iterator[Step]:
    """Yield what each step learns from, shuffled and (with `mirror`) flipped anew every epoch."""
    rng = np.random.default_rng(seed)
    for _ in range(settings.epochs):
        order = rng.permutation(len(data))
        for start in range(0, len(data) - settings.batch + 1, settings.batch):
            some = order[start : start + settings.batch]
            images = data.images[some]
            if settings.mirror:
                flipped = rng.random(len(images)) < 0.5
                images = np.where(flipped[:, None, None, None], images[:, :, ::-1], images)
            yield images.astype(np.float32), data.labels[some]


def run(model: keras.Model, steps: Iterable[Step], settings: Settings, images: int) -> None:
    """Train a compiled model by `steps`; `images` is the number of training images. QlabError:
    training diverged, so that the loss is no longer a finite number."""
    for step, batch in enumerate(steps, 1):
        model.optimizer.learning_rate.assign(settings.rate_at(step, images))
        if not np.isfinite(model.train_on_batch(*batch)):
            raise QlabError(f"The loss was no finite number at step {step}; try a smaller rate.")
