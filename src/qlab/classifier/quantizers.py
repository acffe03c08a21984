"""The quantizers that tfmot put into a model: where they sit, and what ranges they start with."""

import numpy as np
import pandas as pd

from qlab.classifier.partial_qat import inner, keras, moves, part, sources
from qlab.core import plot


def calibrate(
    wrapped: keras.Model, model: keras.Model, images: np.ndarray, batch: int = 32
) -> None:
    """Start the ranges of a model made by `partial_qat.quantized` where `model` has them.

    tfmot starts every range at -6..6 and moves one of an activation by a thousandth of the way a
    step. Here it becomes what its moving average tends to, the mean over batches of the float
    model's lowest and highest values on `images` uint8 [n, h, w, c], with 0 inside; one of weights
    becomes that of the weights.
    """
    known = {layer.name: layer for layer in model.layers}
    ends, tensors = [], []  # of activations: the variables, and what the float model has there
    for layer in wrapped.layers:
        # What tfmot puts behind the input has no layer of that name.
        there = known.get(inner(layer).name) or known[sources(layer)[0].name]
        for name, pair in _ranges(layer).items():
            if "kernel" in name:
                _measure_weights(layer, name, *pair)
            else:
                ends.append(pair)
                tensors.append(_watched(there, name))
    if not tensors:
        return
    probe, seen = keras.Model(model.input, tensors), []
    for at in range(0, len(images), batch):
        found = probe(images[at : at + batch].astype(np.float32), training=False)
        found = found if isinstance(found, list) else [found]
        seen.append([(min(0.0, v.numpy().min()), max(0.0, v.numpy().max())) for v in found])
    for pair, limits in zip(ends, np.mean(seen, axis=0), strict=True):
        for variable, limit in zip(pair, limits, strict=True):
            variable.assign(limit)


def _measure_weights(layer: keras.layers.Layer, name: str, low, high) -> None:
    """Set the range of a wrapper's kernel, one a channel or one in all, symmetric."""
    kernel = next(v for v in layer.weights if part(v) == name).numpy()
    limit = np.abs(kernel).max(tuple(range(kernel.ndim - 1)) if low.shape.rank else None)
    low.assign(-limit)
    high.assign(limit)


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
    """What tfmot wrapped: a row per layer, from the input. Columns: layer, kind, wrapped, and
    whether quantizers sit at its weights, at all its inputs, and at its outputs."""
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
    """Whether what a layer hands on has been through a quantizer."""
    if moves(inner(layer)):
        return all(map(_gives_codes, sources(layer)))
    return any("kernel" not in name for name in _ranges(layer))


def picture(tables: dict[str, pd.DataFrame], profile: str, model: str) -> None:
    """Which quantizers each layer carries, for each choice of layers, from the first that has one:
    a picture of a table."""
    rows = pd.concat([t.assign(chosen=name) for name, t in tables.items()])
    # The longest: tfmot adds a layer behind the input where a first layer is quantized.
    names = list(max(tables.values(), key=len)["layer"])
    marks = {"weights": (-0.27, plot.PALETTE[3], "s"), "inputs": (0.0, plot.PALETTE[2], "<"),
             "outputs": (0.27, plot.PALETTE[1], ">")}  # fmt: skip
    marked = set(rows.loc[rows[list(marks)].any(axis=1), "layer"])
    names = names[next(i for i, name in enumerate(names) if name in marked) :]
    rows, columns = rows[rows["layer"].isin(names)], list(tables)
    layout = {"figsize": (2.6 + 0.95 * len(tables), 1.8 + 0.24 * len(names))}
    with plot.figure("qat_wrappers", profile, rows, **layout) as (canvas, axis):
        for what, (shift, colour, marker) in marks.items():
            there = rows[rows[what]]
            x = [columns.index(name) + shift for name in there["chosen"]]
            y = [names.index(name) for name in there["layer"]]
            axis.plot(x, y, ls="", marker=marker, ms=6, color=colour, label=what)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_xticks(range(len(columns)), columns)
        axis.set(xlim=(-0.6, len(columns) - 0.4), ylim=(len(names) - 0.4, -0.6))
        axis.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
        axis.grid(axis="x", visible=False)
        canvas.suptitle(f"{model}, the end of the network", fontsize=10)
        canvas.legend(loc="outside lower center", ncols=3, frameon=False, title="quantizers at")
