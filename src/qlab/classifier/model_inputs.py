"""What a classifier is fed, images or tokens, and what the rails do with either.

Images are one array, uint8 [n, height, width, channels]. Tokens are a mapping: int32 [n, length] by
the name of the model's input (`TOKENS`). Nothing else in experiment 03 has to tell them apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tf_keras as keras

Inputs = np.ndarray | Mapping[str, np.ndarray]
TOKENS = ("input_ids", "attention_mask", "token_type_ids")  # as tokenizers return them
_IMAGES = "images"


def arrays(inputs: Inputs) -> dict[str, np.ndarray]:
    """The arrays by name; that of images is called `images`."""
    return dict(inputs) if isinstance(inputs, Mapping) else {_IMAGES: inputs}


def from_arrays(named: Mapping[str, np.ndarray]) -> Inputs:
    """What `arrays` was made from."""
    return named[_IMAGES] if set(named) == {_IMAGES} else dict(named)


def count(inputs: Inputs) -> int:
    """How many examples there are."""
    return len(next(iter(arrays(inputs).values())))


def rows(inputs: Inputs, which: slice | np.ndarray) -> Inputs:
    """Some of the examples, by a slice, their places, or a mask."""
    return from_arrays({name: values[which] for name, values in arrays(inputs).items()})


def batches(inputs: Inputs, size: int) -> Iterator[Inputs]:
    """All examples in order, at most `size` at a time."""
    return (rows(inputs, slice(at, at + size)) for at in range(0, count(inputs), size))


def fed(inputs: Inputs) -> Any:
    """The same as a Keras model takes it: images as float32, tokens as they are."""
    return dict(inputs) if isinstance(inputs, Mapping) else inputs.astype(np.float32)


def samples(inputs: Inputs, names: Sequence[str]) -> list[dict[str, np.ndarray]]:
    """Each example by itself, as a .tflite file with inputs of these names takes it."""
    parts = map(fed, batches(inputs, 1))
    return [dict(p) if isinstance(p, Mapping) else dict.fromkeys(names, p) for p in parts]


def zeros(model: "keras.Model", examples: int) -> Any:
    """As many examples of nothing but zeros as a Keras model takes them."""
    if len(model.inputs) == 1:
        return np.zeros((examples, *model.input_shape[1:]), np.float32)
    shapes = zip(model.input_names, model.input_shape, strict=True)
    return {name: np.zeros((examples, *shape[1:]), np.int32) for name, shape in shapes}


def described(inputs: Inputs) -> str:
    """What the inputs are, for an error: how many, of which shape and type."""
    some = next(iter(arrays(inputs).values()))
    if isinstance(inputs, Mapping):
        return f"{count(inputs)} sentences of {some.shape[1]} tokens"
    return f"{len(some)} of {list(some.shape[1:])}, {some.dtype}"
