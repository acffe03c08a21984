"""The quantizers that tfmot put into a model: where they sit, and what ranges they start with."""

import numpy as np
import pandas as pd

from qlab.classifier.partial_qat import inner, keras, moves, part, sources


def calibrate(
    wrapped: keras.Model, model: keras.Model, images: np.ndarray, batch: int = 32
) -> None:
    """Set the ranges of a model made by `partial_qat.quantized` to those of `model`, in place.

    tfmot starts every range at -6..6 and moves an activation's by a thousandth of the way per step.
    Here an activation's range becomes what its moving average tends to: the mean over batches of
    the float model's lowest and highest values on `images`, uint8 [n, h, w, c], extended to include
    0. A range of weights becomes that of the weights.
    """
    known = {layer.name: layer for layer in model.layers}
    ends, tensors = [], []  # of activations: the variables, and what the float model has there
    for layer in wrapped.layers:
        # tfmot's quantizer behind the input has no layer of that name.
        there = known.get(inner(layer).name) or known[sources(layer)[0].name]
        for name, pair in _ranges(layer).items():
            if "kernel" in name:  # one per channel or one in all, symmetric
                kernel = next(v for v in layer.weights if part(v) == name).numpy()
                axes = tuple(range(kernel.ndim - 1)) if pair[0].shape.rank else None
                limit = np.abs(kernel).max(axes)
                pair[0].assign(-limit)
                pair[1].assign(limit)
            else:
                ends.append(pair)
                tensors.append(_watched(there, name))
    probe, seen = keras.Model(model.input, tensors), []
    for at in range(0, len(images), batch):
        found = probe(images[at : at + batch].astype(np.float32), training=False)
        found = found if isinstance(found, list) else [found]
        seen.append([(min(0.0, v.numpy().min()), max(0.0, v.numpy().max())) for v in found])
    for pair, limits in zip(ends, np.mean(seen, axis=0), strict=True):
        for variable, limit in zip(pair, limits, strict=True):
            variable.assign(limit)


def _watched(layer: keras.layers.Layer, name: str):
    """The tensor of the float layer that the quantizer called `name` sees."""
    if not name.startswith("pre_activation"):
        return layer.output
    bare = type(layer).from_config(layer.get_config() | {"activation": "linear"})
    tensor = bare(layer.input)
    bare.set_weights(layer.get_weights())
    return tensor


def _ranges(layer: keras.layers.Layer) -> dict[str, tuple]:
    """The lowest and highest value, as variables, of each tensor whose range a wrapper keeps."""
    found = {part(v): v for v in layer.non_trainable_weights}
    names = [name.removesuffix("_min") for name in found if name.endswith("_min")]
    return {name: (found[f"{name}_min"], found[f"{name}_max"]) for name in names}


def wrappers(model: keras.Model) -> pd.DataFrame:
    """A table of what tfmot wrapped, one row per layer from the input on. Columns: layer, kind,
    wrapped, and whether quantizers are at its weights, at all its inputs, and at its outputs."""
    columns = {
        "layer": lambda x: inner(x).name,
        "kind": lambda x: type(inner(x)).__name__,
        "wrapped": lambda x: inner(x) is not x,
        "weights": lambda x: any("kernel" in name for name in _ranges(x)),
        "inputs": lambda x: bool(sources(x)) and all(map(_gives_codes, sources(x))),
        "outputs": lambda x: any("kernel" not in name for name in _ranges(x)),
    }
    return pd.DataFrame({c: [of(layer) for layer in model.layers] for c, of in columns.items()})


def _gives_codes(layer: keras.layers.Layer) -> bool:
    """Whether a layer's output has been through a quantizer."""
    if moves(inner(layer)):
        return all(map(_gives_codes, sources(layer)))
    return any("kernel" not in name for name in _ranges(layer))
