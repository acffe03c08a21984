"""The two toy networks of the third source (CS 243 midterm): a small MLP and a small CNN."""

import numpy as np

from qlab.classifier.model import keras, layers
from qlab.core.labelled_images import LabelledImages


def build(name: str, classes: int = 10, shape: tuple[int, int, int] = (32, 32, 3)) -> keras.Model:
    """`mlp` or `cnn`: float32 0..255 [n, *shape] -> probabilities [n, classes].

    The weighted layers are dense1, dense2 and output, or conv1, conv2, dense1 and output.
    """
    inputs = keras.Input(shape, name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    for number, width in enumerate((16, 32) if name == "cnn" else (), 1):
        x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"conv{number}")(x)
        x = layers.MaxPooling2D(name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, width in enumerate((64,) if name == "cnn" else (128, 64), 1):
        x = layers.Dense(width, activation="relu", name=f"dense{number}")(x)
    outputs = layers.Dense(classes, activation="softmax", name="output")(x)
    return keras.Model(inputs, outputs, name=name)


def trained(name: str, data: LabelledImages) -> keras.Model:
    """`build` for the data's classes and shape, trained by Adam for ten epochs."""
    keras.utils.set_random_seed(0)
    model = build(name, len(data.classes), data.images.shape[1:])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data.images.astype(np.float32), data.labels, 32, 10, verbose=0)
    return model
