"""A model and images so small that two processes train it in no time."""

from pathlib import Path

import numpy as np

from qlab.core.labelled_images import LabelledImages


def tiny_images() -> LabelledImages:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    return LabelledImages(images, rng.integers(0, 4, 24), ("a", "b", "c", "d"))


def tiny_model(folder: Path) -> Path:
    """An .h5 file: a convolution with batch normalization, and a dense layer; 33,012 weights."""
    from qlab.classifier.model import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Flatten(name="flat")(keras.layers.ReLU(name="relu")(x))
    x = keras.layers.Dense(4, activation="softmax", name="dense")(x)
    keras.Model(inputs, x).save(folder / "tiny.h5")
    return folder / "tiny.h5"
