"""The layer that notebook 00 takes apart: an embedded classifier's first convolution.

Its 16 filters look at 3x3 pixels in three colours: its weights are a matrix [16, 27].
"""

from typing import Literal, NamedTuple

import numpy as np

from qlab.core.cache import file_sha256
from qlab.core.parameters import Parameters as Checked
from qlab.files import embedded
from qlab.images import shapes32

_EPSILON = 1e-3  # of batch normalization: Keras' default, which the models use
# Images by profile: (calibration split, test split).
COUNTS = {"smoke": (16, 32), "mini": (64, 256), "full": (512, 2000)}


class Parameters(Checked):
    """The parameters of notebook 00, as its cell explains them."""

    profile: Literal["smoke", "mini", "full"] = "mini"
    model: Literal["resnet8_shapes32", "resnet20_shapes32"] = "resnet8_shapes32"


class Layer(NamedTuple):
    """A convolution as a matrix: outputs = max(weight @ patch + bias, 0), pixels from 0 to 1."""

    weight: np.ndarray  # float64 [16, 27]; columns ordered by the pixel's row, column and colour
    bias: np.ndarray  # float64 [16]

    def outputs(self, patches: np.ndarray) -> np.ndarray:
        """The layer's outputs, [..., 16], after ReLU, for patches [..., 27]."""
        return np.maximum(patches @ self.weight.T + self.bias, 0)


class World(NamedTuple):
    """The layer and its inputs: patches [images, positions, 27] and their moments."""

    model: str  # its name in the records
    place: str  # folder name of its records and figures
    layer: Layer
    calibration: np.ndarray  # patches
    test: np.ndarray  # patches of other images
    hessian: np.ndarray  # H of the calibration images, [27, 27]
    judged: np.ndarray  # moments of the test images, [images, 27, 27]
    inputs: dict[str, str]  # hash of the file that was read, by model
    dataset: str = "shapes32"  # its name in the records


def prepare(given: Parameters) -> World:
    """The layer of an embedded classifier, and images of the two splits, drawn from their seeds."""
    splits = zip(("calibration", "test"), COUNTS[given.profile], strict=True)
    seen, judged = (patches(shapes32.kept(*s).images) for s in splits)
    inputs = {given.model: file_sha256(embedded.model_folder(given.model) / "weights.h5")}
    here = (given.model, given.place(given.model), first_layer(given.model))
    return World(*here, seen, judged, moments(seen).mean(0), moments(judged), inputs)


def first_layer(model: str) -> Layer:
    """The first layer of `resnet8_shapes32` or `resnet20_shapes32`, as an engine would run it.

    Batch normalization is folded into the weights (Jacob et al. 2018, arXiv 1712.05877, equation
    14), and so is the division by 255: the network itself takes pixels from 0 to 255.
    """
    import h5py

    with h5py.File(embedded.model_folder(model) / "weights.h5") as file:
        kernel, bias = _tensors(file, "stem_conv", "kernel", "bias")
        gamma, beta, mean, variance = _tensors(
            file, "stem_bn1", "gamma", "beta", "moving_mean", "moving_variance"
        )
    gain = gamma / np.sqrt(variance + _EPSILON)
    weight = kernel.reshape(-1, kernel.shape[-1]).T * gain[:, None] * 255
    return Layer(weight, beta + (bias - mean) * gain)


def _tensors(file, layer: str, *names: str) -> list[np.ndarray]:
    return [file[f"model_weights/{layer}/{layer}/{n}:0"][:].astype(float) for n in names]


def patches(images: np.ndarray) -> np.ndarray:
    """The 3x3 pixels around each one of uint8 images [n, h, w, 3]: float64 [n, h * w, 27], 0 to 1.

    Pixels beyond the edge are 0.
    """
    padded = np.pad(images / 255, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    ordered = windows.transpose(0, 1, 2, 4, 5, 3)  # colour last, as in the kernel
    return ordered.reshape(len(images), -1, 27)


def moments(seen: np.ndarray) -> np.ndarray:
    """Mean of x x^T over the patches x of each image: [n, 27, 27] from [n, patches, 27].

    Averaged over images, this is GPTQ's H without its factor of 2.
    """
    return seen.transpose(0, 2, 1) @ seen / seen.shape[1]
