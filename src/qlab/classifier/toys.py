"""The two toy networks of the third source (CS 243 midterm): a small MLP and a small CNN.

For grey 28x28 digits or 32x32 colour images; small enough to see every layer's share by eye.
"""

from collections.abc import Callable

import numpy as np

from qlab.core import quiet
from qlab.core.labelled_images import LabelledImages
from qlab.core.tf import tf  # noqa: F401  (keeps TensorFlow's notes out of the log)

with quiet.quiet():
    import tf_keras as keras
    from tf_keras import layers


def _mlp(x):
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="dense1")(x)
    return layers.Dense(64, activation="relu", name="dense2")(x)


def _cnn(x):
    for number, width in enumerate((16, 32), 1):
        x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"conv{number}")(x)
        x = layers.MaxPooling2D(name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dense(64, activation="relu", name="dense1")(x)


BODIES: dict[str, Callable] = {"mlp": _mlp, "cnn": _cnn}  # builds the layers of a network


def build(name: str, classes: int = 10, shape: tuple[int, int, int] = (32, 32, 3)) -> keras.Model:
    """`mlp` or `cnn`: float32 0..255 [n, *shape] -> probabilities [n, classes].

    The weighted layers are dense1, dense2 and output, or conv1, conv2, dense1 and output.
    """
    inputs = keras.Input(shape, name="image")
    x = BODIES[name](layers.Rescaling(1 / 255, name="rescale")(inputs))
    outputs = layers.Dense(classes, activation="softmax", name="output")(x)
    return keras.Model(inputs, outputs, name=name)


def trained(name: str, data: LabelledImages, epochs: int, seed: int = 0) -> keras.Model:
    """`build` for the data's classes and shape, trained by Adam, its rate .001, batches of 32."""
    keras.utils.set_random_seed(seed)
    model = build(name, len(data.classes), data.images.shape[1:])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data.images.astype(np.float32), data.labels, 32, epochs, verbose=0)
    return model
