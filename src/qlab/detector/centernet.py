"""CenterNet with a ResNet-v2 backbone: objects as points.

Model, training targets, losses and decoding follow Zhou, Wang and Krähenbühl,
"Objects as Points" (arXiv 1904.07850); the backbone is He et al., "Identity
Mappings in Deep Residual Networks" (arXiv 1603.05027); the neck of transposed
convolutions that of Xiao et al. (arXiv 1804.06208). tf_keras, because
tensorflow-model-optimization knows only Keras 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qlab.core import quiet
from qlab.core.tf import tf

with quiet.quiet():
    import tf_keras as keras
    from tf_keras import layers

STRIDE = 4  # input pixels per heat-map cell
EPSILON = 1.001e-5  # of batch normalization, as in keras.applications


@dataclass(frozen=True)
class Architecture:
    """What distinguishes one CenterNet from another."""

    image_size: int  # side of the square input, pixels
    classes: int  # kinds of objects: channels of the heat map
    stem_width: int  # channels of the first convolution
    blocks: tuple[int, ...]  # residual blocks per stage
    widths: tuple[int, ...]  # channels per stage (a bottleneck's output has four times that)
    bottleneck: bool  # residual blocks of three convolutions instead of two
    neck_widths: tuple[int, ...]  # one transposed convolution each
    head_width: int  # channels of each head's hidden convolution


# The one of TensorFlow's detection zoo.
RESNET50V2_512 = Architecture(
    512, 90, 64, (3, 4, 6, 3), (64, 128, 256, 512), True, (256, 128, 64), 64
)
# The embedded one.
MINI_256 = Architecture(256, 10, 24, (1, 2, 2), (24, 48, 144), False, (64, 32), 24)


def _norm_relu(x, name: str):
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _block(x, width: int, stride: int, bottleneck: bool, project: bool, name: str):
    """A pre-activation residual block (arXiv 1603.05027, figure 4e)."""
    out = 4 * width if bottleneck else width
    pre = _norm_relu(x, f"{name}_pre")
    shortcut = layers.Conv2D(out, 1, stride, name=f"{name}_shortcut")(pre) if project else x
    if bottleneck:
        y = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_conv1")(pre)
        y = _norm_relu(y, f"{name}_mid1")
    else:
        y = pre
    y = layers.Conv2D(width, 3, stride, "same", use_bias=False, name=f"{name}_conv2")(y)
    y = _norm_relu(y, f"{name}_mid2")
    last = 1 if bottleneck else 3
    y = layers.Conv2D(out, last, padding="same", name=f"{name}_conv3")(y)
    return layers.Add(name=f"{name}_add")([shortcut, y])


def resnet_v2(x, stem_width: int, blocks: Sequence[int], widths: Sequence[int], bottleneck: bool):
    """Feature map of a ResNet-v2: [n, h, w, 3] -> [n, h / s, w / s, c], s = 2^(1 + stages)."""
    x = layers.Conv2D(stem_width, 7, 2, "same", name="stem_conv")(x)
    x = layers.MaxPooling2D(3, 2, "same", name="stem_pool")(x)
    for s, (count, width) in enumerate(zip(blocks, widths, strict=True), 1):
        for b in range(count):
            stride = 2 if s > 1 and b == 0 else 1
            x = _block(x, width, stride, bottleneck, b == 0, f"stage{s}_block{b + 1}")
    return _norm_relu(x, "post")


def _upsample_transposed(x, width: int, name: str):
    x = layers.Conv2DTranspose(width, 4, 2, "same", use_bias=False, name=f"{name}_deconv")(x)
    return _norm_relu(x, name)


def _upsample_subpixel(x, width: int, name: str):
    """The same function as `_upsample_transposed`, without a transposed convolution.

    Every output pixel of a 4x4, stride-2 transposed convolution sees a 2x2
    window of the input, so a 2x2 convolution with four times the channels
    computes all four output phases and depth-to-space weaves them together
    (Shi et al., arXiv 1609.07009). `subpixel_kernel` gives the weights.
    """
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = layers.Conv2D(4 * width, 2, activation="relu", name=f"{name}_phases")(x)
    x = layers.Lambda(lambda t: tf.nn.depth_to_space(t, 2), name=f"{name}_weave")(x)
    return layers.Cropping2D(1, name=f"{name}_crop")(x)


def _head(x, width: int, channels: int, name: str, bias: float = 0.0):
    x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"{name}_conv")(x)
    start = keras.initializers.Constant(bias)
    return layers.Conv2D(channels, 1, bias_initializer=start, name=name)(x)


def build(a: Architecture, neck: str = "transposed") -> keras.Model:
    """The network: float RGB 0..255 [n, H, W, 3] -> dict of maps [n, H/4, W/4, c].

    `heat` holds class logits, `size` width and height, `offset` the centre's
    place in its cell, both in heat-map cells. `neck` is "transposed", or
    "subpixel" for the same function in plain convolutions.
    """
    upsample = {"transposed": _upsample_transposed, "subpixel": _upsample_subpixel}[neck]
    inputs = keras.Input((a.image_size, a.image_size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs)
    x = resnet_v2(x, a.stem_width, a.blocks, a.widths, a.bottleneck)
    for i, width in enumerate(a.neck_widths, 1):
        x = upsample(x, width, f"neck{i}")
    maps = {
        # -2.19 = logit(0.1): arXiv 1904.07850, section 5, after the focal-loss paper
        "heat": _head(x, a.head_width, a.classes, "heat", bias=-2.19),
        "size": _head(x, a.head_width, 2, "size"),
        "offset": _head(x, a.head_width, 2, "offset"),
    }
    return keras.Model(inputs, maps, name=f"centernet_{neck}")


def subpixel_kernel(kernel: np.ndarray) -> np.ndarray:
    """Rearrange a 4x4 stride-2 transposed kernel for `_upsample_subpixel`.

    [4, 4, out, in] -> [2, 2, in, 4 * out]. Tap t of the transposed kernel is
    read by output phase t mod 2 at window place 1 - t div 2.
    """
    out, inp = kernel.shape[2:]
    k = kernel.reshape(2, 2, 2, 2, out, inp)[::-1, :, ::-1]  # place_y, phase_y, place_x, phase_x
    return k.transpose(0, 2, 5, 1, 3, 4).reshape(2, 2, inp, 4 * out)


def to_subpixel(model: keras.Model, a: Architecture) -> keras.Model:
    """The same trained network with its neck in plain convolutions (equal to float rounding)."""
    twin = build(a, neck="subpixel")
    for layer in twin.layers:
        if layer.name.endswith("_phases"):
            name = layer.name.removesuffix("_phases")
            gamma, beta, mean, variance = model.get_layer(f"{name}_bn").get_weights()
            scale = gamma / np.sqrt(variance + EPSILON)
            kernel = model.get_layer(f"{name}_deconv").get_weights()[0] * scale[:, None]
            layer.set_weights([subpixel_kernel(kernel), np.tile(beta - mean * scale, 4)])
        elif layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return twin


def decode(maps: dict[str, tf.Tensor], top: int = 100) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Pick the peaks of the heat map (arXiv 1904.07850, section 3, "from points to boxes").

    Returns boxes [n, top, 4] as ymin, xmin, ymax, xmax in 0..1 of the image,
    scores [n, top] and zero-based classes [n, top], best first.
    """
    heat = tf.sigmoid(maps["heat"])
    _, height, width, classes = heat.shape
    peak = tf.nn.max_pool2d(heat, 3, 1, "SAME")
    heat = tf.where(heat >= peak, heat, tf.zeros_like(heat))
    scores, flat = tf.math.top_k(tf.reshape(heat, [-1, height * width * classes]), top)
    cell = flat // classes
    at = tf.concat([maps["offset"], maps["size"]], -1)
    at = tf.gather(tf.reshape(at, [-1, height * width, 4]), cell, batch_dims=1)
    x = tf.cast(cell % width, tf.float32) + at[..., 0]
    y = tf.cast(cell // width, tf.float32) + at[..., 1]
    w, h = at[..., 2] / 2, at[..., 3] / 2
    boxes = tf.stack(
        [(y - h) / height, (x - w) / width, (y + h) / height, (x + w) / width], axis=-1
    )
    return tf.clip_by_value(boxes, 0.0, 1.0), scores, flat % classes


def export(model: keras.Model, folder: Path) -> None:
    """Write a SavedModel with the signature of the TF2 detection zoo.

    In: `input_tensor`, uint8 [1, H, W, 3]. Out: `detection_boxes`,
    `detection_scores`, `detection_classes` (1-based), `num_detections`.
    """

    @tf.function(input_signature=[tf.TensorSpec((1, *model.input_shape[1:]), tf.uint8)])
    def detect(input_tensor):
        boxes, scores, classes = decode(model(tf.cast(input_tensor, tf.float32), training=False))
        return {
            "detection_boxes": boxes,
            "detection_scores": scores,
            "detection_classes": tf.cast(classes + 1, tf.float32),
            "num_detections": tf.fill([1], float(scores.shape[1])),
        }

    holder = tf.Module()
    holder.model, holder.detect = model, detect
    tf.saved_model.save(holder, str(folder), signatures={"serving_default": detect})
