"""4-bit weights of a .tflite, widened to 8 bits: the same numbers on kernels that are fast.

LiteRT's CPU kernels for 4-bit weights are 10 to 40 times slower than those for 8; a file's answers
do not depend on which hold them.
"""

from pathlib import Path

import numpy as np

from qlab.core import tflite_graph


def widened(file: Path) -> bytes:
    """The content of a .tflite with every INT4 constant as INT8, codes and scales unchanged."""
    model = tflite_graph.read(file)
    for tensor in model.subgraphs[0].tensors:
        if tensor.type == tflite_graph.type_code("INT4"):
            buffer = model.buffers[tensor.buffer]
            codes = unpacked(buffer.data, int(np.prod(tensor.shape)))
            buffer.data, tensor.type = codes.view(np.uint8), tflite_graph.type_code("INT8")
    return tflite_graph.packed(model)


def packed(codes: np.ndarray) -> np.ndarray:
    """Two integers a byte, the first in the low half: uint8 [ceil(n / 2)] of int8 [n] in -8..7."""
    halves = np.pad(codes, (0, len(codes) % 2)).view(np.uint8) & 15
    return halves[::2] | halves[1::2] << 4


def unpacked(bytes_: np.ndarray, count: int) -> np.ndarray:
    """int8 [count] from bytes made by `packed`."""
    halves = np.stack([bytes_ & 15, bytes_ >> 4], 1).reshape(-1)[:count].astype(np.int8)
    return np.where(halves > 7, halves - 16, halves).astype(np.int8)
