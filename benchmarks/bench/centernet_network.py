"""CenterNet ResNet50-v2 512, the network of TensorFlow's detection zoo, with random weights.

Model and heads follow Zhou, Wang and Krähenbühl, "Objects as Points" (arXiv 1904.07850); the
backbone, He et al., "Identity Mappings in Deep Residual Networks" (arXiv 1603.05027); the neck of
transposed convolutions, Xiao et al. (arXiv 1804.06208).
"""

from qlab.core import quiet

with quiet.quiet():
    import tf_keras as keras
    from tf_keras import layers

SIZE = 512  # side of the square input, pixels
CLASSES = 90
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # width and residual blocks
NECK = (256, 128, 64)  # width of each transposed convolution
HEAD = 64  # channels of each head's hidden convolution
EPSILON = 1.001e-5  # of batch normalization, as in keras.applications


def _norm_relu(x, name: str):
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _block(x, width: int, stride: int, project: bool, name: str):
    """A pre-activation residual block (arXiv 1603.05027, figure 4e)."""
    out = 4 * width
    pre = _norm_relu(x, f"{name}_pre")
    shortcut = layers.Conv2D(out, 1, stride, name=f"{name}_shortcut")(pre) if project else x
    y = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_conv1")(pre)
    y = _norm_relu(y, f"{name}_mid1")
    y = layers.Conv2D(width, 3, stride, "same", use_bias=False, name=f"{name}_conv2")(y)
    y = _norm_relu(y, f"{name}_mid2")
    y = layers.Conv2D(out, 1, padding="same", name=f"{name}_conv3")(y)
    return layers.Add(name=f"{name}_add")([shortcut, y])


def backbone(x):
    """ResNet50-v2 up to its feature map: [n, h, w, 3] -> [n, h / 32, w / 32, 2048]."""
    x = layers.Conv2D(64, 7, 2, "same", name="stem_conv")(x)
    x = layers.MaxPooling2D(3, 2, "same", name="stem_pool")(x)
    for s, (width, count) in enumerate(STAGES, 1):
        for b in range(count):
            stride = 2 if s > 1 and b == 0 else 1
            x = _block(x, width, stride, b == 0, f"stage{s}_block{b + 1}")
    return _norm_relu(x, "post")


def _head(x, channels: int, name: str, bias: float = 0.0):
    x = layers.Conv2D(HEAD, 3, padding="same", activation="relu", name=f"{name}_conv")(x)
    start = keras.initializers.Constant(bias)
    return layers.Conv2D(channels, 1, bias_initializer=start, name=name)(x)


def build() -> keras.Model:
    """The network: float RGB 0..255 [n, 512, 512, 3] -> dict of maps [n, 128, 128, c]."""
    inputs = keras.Input((SIZE, SIZE, 3), name="image")
    x = backbone(layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs))
    for i, width in enumerate(NECK, 1):
        name = f"neck{i}"
        x = layers.Conv2DTranspose(width, 4, 2, "same", use_bias=False, name=f"{name}_deconv")(x)
        x = _norm_relu(x, name)
    maps = {
        # -2.19 = logit(0.1): arXiv 1904.07850, section 5, after the focal-loss paper
        "heat": _head(x, CLASSES, "heat", bias=-2.19),
        "size": _head(x, 2, "size"),
        "offset": _head(x, 2, "offset"),
    }
    return keras.Model(inputs, maps, name="centernet_transposed")
