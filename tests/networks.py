"""Networks of fresh weights: `train_resnet`'s ResNets, plain networks, a tiny CenterNet."""

import shown

from qlab.tflite.keras import keras

layers = keras.layers
BLOCKS = {"resnet8": 1, "resnet20": 3}  # of a stack
# Toys: widths of their convolutions and dense layers.
TOYS = {"toy_mlp": ((), (128, 64)), "toy_cnn": ((16, 32), (64,))}


def build(name: str, size: int = 32) -> keras.Model:
    """A ResNet for images of that size."""
    scope = {"keras": keras, "layers": layers}
    for cell in (c.source for c in shown.cells("train_resnet", "code") if c.source[:4] == "def "):
        exec(cell.replace("(32, 32, 3)", f"({size}, {size}, 3)"), scope)
    return scope["build"](name, BLOCKS[name])


def lively(model: keras.Model, rng) -> keras.Model:
    """Its batch normalization drawn: a fresh one is the identity, which no network has."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


def toy(name: str, classes: int = 10, shape: tuple[int, int, int] = (32, 32, 3)) -> keras.Model:
    """A network of TOYS: float32 0..255 [n, *shape] -> probabilities [n, classes]."""
    inputs, (convolutions, dense) = keras.Input(shape, name="image"), TOYS[name]
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    for number, width in enumerate(convolutions, 1):
        x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"conv{number}")(x)
        x = layers.MaxPooling2D(name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, width in enumerate(dense, 1):
        x = layers.Dense(width, activation="relu", name=f"dense{number}")(x)
    outputs = layers.Dense(classes, activation="softmax", name="output")(x)
    return keras.Model(inputs, outputs, name=name)


def centernet() -> keras.Model:
    """A tiny CenterNet: a residual block, a transposed convolution, three heads."""
    image = keras.Input((64, 64, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = layers.Conv2D(8, 7, 2, "same", name="stem")(x)
    x = layers.ReLU()(layers.BatchNormalization()(layers.MaxPooling2D(3, 2, "same")(x)))
    y = layers.Conv2D(16, 3, 2, "same", use_bias=False, name="block")(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Conv2D(16, 3, padding="same")(y)
    x = layers.ReLU()(layers.Add()([y, layers.Conv2D(16, 1, 2, name="shortcut")(x)]))
    x = layers.Conv2DTranspose(16, 4, 2, "same", use_bias=False, name="neck_deconv")(x)
    x = layers.ReLU(name="neck_relu")(layers.BatchNormalization(name="neck_bn")(x))
    maps = {}
    for name, channels in (("heat", 3), ("size", 2), ("offset", 2)):
        hidden = layers.Conv2D(16, 3, 1, "same", activation="relu", name=f"{name}_conv")(x)
        maps[name] = layers.Conv2D(channels, 1, name=name)(hidden)
    return keras.Model(image, maps, name="centernet")
