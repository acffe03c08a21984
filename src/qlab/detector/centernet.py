"""CenterNet: the embedded network, its twin without transposed convolutions, and its decoding.

Decoding follows Zhou, Wang and Krähenbühl, "Objects as Points" (arXiv 1904.07850). The network is
built in the training notebook, with tf_keras, as tensorflow-model-optimization knows only Keras 2.
"""

from pathlib import Path

import numpy as np

from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.files.embedded import model_folder


def saved_model(subpixel: bool = False) -> Path:
    """The SavedModel folder, made only once, of the embedded CenterNet or its `subpixel` twin."""
    folder = model_folder("centernet_mini")
    recipe = {"model": file_sha256(folder), "subpixel": subpixel, "code": code_sha256(__name__)}
    recipe["versions"] = versions("tensorflow", "tf-keras")

    def make(target: Path) -> None:
        from qlab.tflite.keras import keras

        model = keras.models.model_from_json((folder / "network.json").read_text())
        model.load_weights(folder / "weights.h5")
        export(to_subpixel(model) if subpixel else model, target / "model")

    return artefact("saved_model", recipe, make) / "model"


def to_subpixel(model):
    """Rebuild a trained network in plain convolutions: a Keras model, equal up to float rounding.

    Every output pixel of a 4x4, stride-2 transposed convolution NAME_deconv (NAME_bn and NAME_relu
    follow it) depends on a 2x2 window of its input. So a 2x2 convolution with four times the
    channels computes all four output phases, which are interleaved (Shi et al., 1609.07009).
    """
    from qlab.tflite.keras import keras
    from qlab.tflite.tf import tf

    layers = keras.layers
    inputs = keras.Input(model.input_shape[1:], name=model.input_names[0])
    made, weights = {id(model.input): inputs}, {}  # by a tensor of the model; by a layer's name
    for layer in model.layers[1:]:
        x = tf.nest.map_structure(lambda t: made[id(t)], layer.input)
        name = layer.name.rpartition("_")[0]
        if isinstance(layer, layers.Conv2DTranspose):
            norm = model.get_layer(f"{name}_bn")
            gamma, beta, mean, variance = norm.get_weights()
            scale = gamma / np.sqrt(variance + norm.epsilon)
            # Tap t of the transposed kernel is used by output phase t mod 2 at place 1 - t div 2.
            kernel = (layer.get_weights()[0] * scale[:, None]).reshape(2, 2, 2, 2, len(scale), -1)
            kernel = kernel[::-1, :, ::-1].transpose(0, 2, 5, 1, 3, 4)  # places, in, phases, out
            kernel = kernel.reshape(2, 2, -1, 4 * len(scale))
            weights[f"{name}_phases"] = [kernel, np.tile(beta - mean * scale, 4)]
            x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
            x = layers.Conv2D(4 * len(scale), 2, activation="relu", name=f"{name}_phases")(x)
            x = layers.Lambda(lambda t: tf.nn.depth_to_space(t, 2), name=f"{name}_weave")(x)
            x = layers.Cropping2D(1, name=f"{name}_crop")(x)
        elif f"{name}_phases" not in weights:  # else its norm or relu, which the phases contain
            weights[layer.name] = layer.get_weights()
            x = type(layer).from_config(layer.get_config())(x)
        made[id(layer.output)] = x
    maps = {name: made[id(t)] for name, t in model.output.items()}
    twin = keras.Model(inputs, maps, name="centernet_subpixel")
    for name, values in weights.items():
        twin.get_layer(name).set_weights(values)
    return twin


def decode(maps, top: int = 100):
    """The peaks of the heat map (arXiv 1904.07850, section 3, "from points to boxes"), best first:
    boxes [n, top, 4] as ymin, xmin, ymax, xmax in 0..1, scores and zero-based classes [n, top].

    `maps`, [n, H/4, W/4, c] each: `heat` holds class logits, `size` width and height, `offset` the
    centre's place in its cell, both in cells.
    """
    from qlab.tflite.tf import tf

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
    sides = [(y - h) / height, (x - w) / width, (y + h) / height, (x + w) / width]
    return tf.clip_by_value(tf.stack(sides, axis=-1), 0.0, 1.0), scores, flat % classes


def export(model, folder: Path) -> None:
    """Write a SavedModel with the signature of the TF2 detection zoo, whose classes begin at 1."""
    from qlab.tflite.tf import tf

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
