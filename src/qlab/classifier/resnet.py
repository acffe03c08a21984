"""Small residual networks for 32x32 images: the subjects of partial quantization-aware training.

He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385), section 4.2. `resnet8`
has the layers of MLPerf Tiny's image classifier (Banbury et al., arXiv 2106.07597), with one
residual block a stack; `resnet20` is the paper's n = 3. Convolution, batch normalization and ReLU
are layers of their own, so that tensorflow-model-optimization can fold and quantize them.
"""

from qlab.core import quiet
from qlab.core.errors import QlabError
from qlab.core.tf import tf  # noqa: F401  (keeps TensorFlow's notes out of the log)

with quiet.quiet():
    import tf_keras as keras
    from tf_keras import layers

BLOCKS = {"resnet8": 1, "resnet20": 3}  # residual blocks a stack
WIDTHS = (16, 32, 64)  # channels of each stack; from the second on, its first block halves the size


def _conv(x, width: int, size: int, stride: int, name: str):
    # Biases are superfluous before batch normalization, but the MLPerf Tiny model has them.
    return layers.Conv2D(width, size, stride, "same", kernel_initializer="he_normal", name=name)(x)


def _block(x, width: int, stride: int, place: str):
    """Two 3x3 convolutions beside a shortcut, 1x1 where the shape changes (option B)."""
    y = _conv(x, width, 3, stride, f"{place}_conv1")
    y = layers.ReLU(name=f"{place}_relu1")(layers.BatchNormalization(name=f"{place}_bn1")(y))
    y = layers.BatchNormalization(name=f"{place}_bn2")(_conv(y, width, 3, 1, f"{place}_conv2"))
    if stride != 1:
        x = _conv(x, width, 1, stride, f"{place}_shortcut")
    return layers.ReLU(name=f"{place}_relu2")(layers.Add(name=f"{place}_add")([x, y]))


def build(name: str, classes: int = 10, size: int = 32) -> keras.Model:
    """`resnet8` or `resnet20`: float32 RGB 0..255 [n, size, size, 3] -> probabilities [n, classes].

    Layers are named by place: `stem_conv`, `stack2_bn1`, `stack2_shortcut`, `dense`; with several
    blocks a stack, `stack2_block1_conv1`. QlabError for another name.
    """
    if name not in BLOCKS:
        raise QlabError(f"The embedded classifiers are {', '.join(BLOCKS)}; there is no '{name}'.")
    inputs = keras.Input((size, size, 3), name="image")
    x = layers.BatchNormalization(name="stem_bn1")(_conv(inputs, WIDTHS[0], 3, 1, "stem_conv"))
    x = layers.ReLU(name="stem_relu1")(x)
    for stack, width in enumerate(WIDTHS, 1):
        for block in range(1, BLOCKS[name] + 1):
            place = f"stack{stack}" if BLOCKS[name] == 1 else f"stack{stack}_block{block}"
            x = _block(x, width, 2 if stack > 1 and block == 1 else 1, place)
    x = layers.AveragePooling2D(x.shape[1], name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    outputs = layers.Dense(classes, "softmax", kernel_initializer="he_normal", name="dense")(x)
    return keras.Model(inputs, outputs, name=name)
