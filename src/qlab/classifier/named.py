"""Classifiers that the parameter `model` can name: embedded and published.

ResNet-20 and -32 come from akamaster's PyTorch checkpoints (BSD-2), rebuilt in Keras 2. They are
He et al.'s (arXiv 1512.03385, section 4.2) with option A's shortcuts, which take every other pixel
and add channels of zeros on both sides: here 1x1 convolutions of ones and zeros.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qlab.classifier.model import keras, layers
from qlab.core import paths
from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.errors import QlabError
from qlab.files import embedded, fetch

EMBEDDED = ("resnet8_shapes32", "resnet20_shapes32")
TINY = "mlperf_tiny_resnet8"
PEER = f"{TINY}_int8"  # the int8 file of TINY's makers, in downloads.yaml
_HOME = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/"
# As in torch.hub, a file's name ends with the first digits of its sha256.
CHECKPOINTS = {
    "resnet20_cifar10": _HOME + "resnet20-12fca82f.th",
    "resnet32_cifar10": _HOME + "resnet32-d509ac18.th",
}
# Torchvision's usual ones for ImageNet: R, G, B in 0..1.
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def found(model: str) -> tuple[str, Path]:
    """Name and file of an embedded or published classifier, or of the user's own at a path."""
    if model in EMBEDDED:
        return model, embedded.model_folder(model) / "weights.h5"
    if model == TINY:
        return model, fetch.get(TINY)
    if model not in CHECKPOINTS:
        return Path(model).stem, Path(model).expanduser()
    if there := paths.local(f"cifar_resnet/{model}.h5"):
        return model, there
    file, recipe = f"{model}.h5", {"name": model, "code": code_sha256(__name__)}
    recipe["versions"] = versions("tensorflow", "tf-keras")
    made = artefact("keras", recipe, lambda folder: downloaded(model).save(folder / file))
    return model, made / file


def downloaded(name: str) -> keras.Model:
    """Download a model of CHECKPOINTS; nothing in its file is run. QlabError: another hash."""
    import torch

    file = fetch.fetch(CHECKPOINTS[name], None)
    begins, found = file.stem.rpartition("-")[2], file_sha256(file)
    if not found.startswith(begins):
        file.unlink()
        raise QlabError(
            f"{CHECKPOINTS[name]} has the sha256 {found}, which should begin with {begins}; it was "
            "removed. Give a Keras 2 .h5 file as the parameter 'model'."
        )
    held = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    return rebuilt({k.removeprefix("module."): tensor.numpy() for k, tensor in held.items()})


def rebuilt(held: Mapping[str, np.ndarray]) -> keras.Model:
    """The network of a checkpoint: RGB 0..255 [n, 32, 32, 3] to probabilities [n, 10]."""
    given: dict[str, list[np.ndarray]] = {}  # weights by layer

    def conv(x, name: str, theirs: str, stride: int = 1):
        kernel, norm = held[f"{theirs}.weight"].transpose(2, 3, 1, 0), theirs.replace("conv", "bn")
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
    x = layers.ReLU(name="conv1_relu")(conv(x, "conv1", "conv1"))
    for block in sorted({name.rpartition(".conv1")[0] for name in held if ".conv1." in name}):
        stack, number = (int(part) for part in block.removeprefix("layer").split("."))
        here, before, stride = f"g{stack}b{number}", x, 2 if stack > 1 and number == 0 else 1
        y = conv(x, f"{here}_conv1", f"{block}.conv1", stride)
        y = layers.ReLU(name=f"{here}_conv1_relu")(y)
        y = conv(y, f"{here}_conv2", f"{block}.conv2")
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
