"""ResNet-20 and -32 of CIFAR-10 from akamaster's PyTorch checkpoints (BSD-2), rebuilt in Keras 2.

They are He et al.'s (arXiv 1512.03385, section 4.2) with option A's shortcuts, which take every
other pixel and add channels of zeros on both sides: here 1x1 convolutions of ones and zeros.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qlab.classifier.model import keras, layers
from qlab.core import fetch
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError

HOME = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/"
# As torch.hub has it, a name ends in the first digits of the file's sha256.
FILES = {"resnet20_cifar10": "resnet20-12fca82f.th", "resnet32_cifar10": "resnet32-d509ac18.th"}
# Torchvision's usual ones of ImageNet, R, G, B in 0..1.
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def downloaded(name: str) -> keras.Model:
    """A model of FILES, from its checkpoint; QlabError: a file with another hash."""
    file = fetch.fetch(HOME + FILES[name], None)
    begins = file.stem.rpartition("-")[2]
    if not (found := file_sha256(file).removeprefix("sha256:")).startswith(begins):
        file.unlink()
        raise QlabError(
            f"{HOME}{FILES[name]} has the sha256 {found}, which should begin with {begins}; it was "
            "removed. Give a Keras 2 .h5 file as the parameter 'model'."
        )
    return rebuilt(weights(file))


def weights(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint by name; nothing in the file is run."""
    import torch

    held = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    return {name.removeprefix("module."): tensor.numpy() for name, tensor in held.items()}


def rebuilt(held: Mapping[str, np.ndarray]) -> keras.Model:
    """The network of a checkpoint: RGB 0..255 [n, 32, 32, 3] to probabilities [n, 10]."""
    given: dict[str, list[np.ndarray]] = {}  # weights by layer

    def conv(x, name: str, theirs: str, norm: str, stride: int = 1):
        kernel = held[f"{theirs}.weight"].transpose(2, 3, 1, 0)
        if stride > 1:  # PyTorch pads both sides alike, Keras' "same" does not
            x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        how = {"padding": "same" if stride == 1 else "valid", "use_bias": False}
        x = layers.Conv2D(kernel.shape[3], 3, stride, name=name, **how)(x)
        parts = ("weight", "bias", "running_mean", "running_var")
        given[name], given[f"{name}_bn"] = [kernel], [held[f"{norm}.{part}"] for part in parts]
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)

    inputs = keras.Input((32, 32, 3))
    scale, offset = list(1 / (255 * DEVIATION)), list(-MEAN / DEVIATION)
    x = layers.Rescaling(scale, offset, name="normalize")(inputs)
    x = layers.ReLU(name="conv1_relu")(conv(x, "conv1", "conv1", "bn1"))
    for block in sorted({name.rpartition(".conv1")[0] for name in held if ".conv1." in name}):
        stack, number = (int(part) for part in block.removeprefix("layer").split("."))
        here, before, stride = f"g{stack}b{number}", x, 2 if stack > 1 and number == 0 else 1
        y = conv(x, f"{here}_conv1", f"{block}.conv1", f"{block}.bn1", stride)
        y = layers.ReLU(name=f"{here}_conv1_relu")(y)
        y = conv(y, f"{here}_conv2", f"{block}.conv2", f"{block}.bn2")
        if stride > 1:
            name, width = f"{here}_shortcut", x.shape[3]
            given[name] = [np.eye(width, 2 * width, width // 2)[None, None]]
            before = layers.Conv2D(2 * width, 1, 2, use_bias=False, name=name)(x)
        x = layers.ReLU(name=f"{here}_relu")(layers.Add(name=f"{here}_add")([y, before]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    given["linear"] = [held["linear.weight"].T, held["linear.bias"]]
    x = layers.Dense(held["linear.bias"].size, name="linear")(x)
    model = keras.Model(inputs, layers.Softmax(name="softmax")(x))
    for name, arrays in given.items():
        model.get_layer(name).set_weights(arrays)
    return model
