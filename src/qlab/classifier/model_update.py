"""What a worker sends in a round of federated learning: the layers it trained, in few bits.

Federated averaging (McMahan et al., arXiv 1602.05629) sends no gradients at each step but weights
once a round: here only those of the trained layers, at the width that the weights have.
"""

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qlab.core import tflite_graph

if TYPE_CHECKING:
    import tf_keras as keras

UPDATE_BITS = (4, 8, 32)  # in which a weight is sent


def update_bytes(model: "keras.Model", layers: Sequence[str], bits: int) -> int:
    """Bytes of an update of some layers, reckoned: what one worker sends in a federated round.

    Kernels have `bits` each and a float32 scale per output channel; all else that a layer has
    (bias, normalization) is float32. 32 bits: float32 throughout, no scales.
    """
    total = 0
    for name, array in _arrays(model, layers, bits):
        if bits < 32 and name.endswith("kernel"):
            total += (array.size * bits + 7) // 8 + 4 * _channels(name, array)
        else:
            total += 4 * array.size
    return total


def serialized_update(model: "keras.Model", layers: Sequence[str], bits: int) -> bytes:
    """The same update as a real message: an npz file of integers (two a byte at 4 bits) and scales.

    The same model gives the same bytes.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, array in _arrays(model, layers, bits):
        if bits < 32 and name.endswith("kernel"):
            integers, scales = _quantize(array.reshape(-1, _channels(name, array)), bits)
            packed = tflite_graph.packed4(integers.ravel()) if bits == 4 else integers.ravel()
            shape = np.array(array.shape, np.int32)
            arrays |= {name: packed, f"{name}:scale": scales, f"{name}:shape": shape}
        else:
            arrays[name] = array.astype(np.float32)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _arrays(
    model: "keras.Model", layers: Sequence[str], bits: int
) -> Iterable[tuple[str, np.ndarray]]:
    """The variables of some layers by `layer/variable`."""
    for layer in layers:
        for variable in model.get_layer(layer).weights:
            yield f"{layer}/{variable.name.split('/')[-1].split(':')[0]}", variable.numpy()


def _channels(name: str, kernel: np.ndarray) -> int:
    """Output channels: the last axis, and of a depthwise kernel [h, w, in, multiplier] the two."""
    return int(
        np.prod(kernel.shape[-2:] if name.endswith("depthwise_kernel") else kernel.shape[-1:])
    )


def _quantize(matrix: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric integers [k, channels] and float32 scales [channels]; a channel of zeros has 1."""
    top = 2 ** (bits - 1) - 1
    scales = np.abs(matrix).max(0) / top
    scales = np.where(scales > 0, scales, 1).astype(np.float32)
    return np.clip(np.round(matrix / scales), -top, top).astype(np.int8), scales
