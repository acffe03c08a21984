"""Two 4-bit integers a byte: the first in the low half, in two's complement."""

import numpy as np


def packed(codes: np.ndarray) -> np.ndarray:
    """uint8 [ceil(n / 2)] from int8 codes [n] in -8..7."""
    halves = np.pad(codes, (0, len(codes) % 2)).view(np.uint8) & 15
    return halves[::2] | halves[1::2] << 4


def unpacked(bytes_: np.ndarray, count: int) -> np.ndarray:
    """int8 [count] from bytes made by `packed`."""
    halves = np.stack([bytes_ & 15, bytes_ >> 4], 1).reshape(-1)[:count].astype(np.int8)
    return np.where(halves > 7, halves - 16, halves).astype(np.int8)
