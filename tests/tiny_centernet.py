"""Cells of the training notebook, and a tiny CenterNet made of its blocks."""

from types import SimpleNamespace

import nbformat
from conftest import ROOT

from qlab.core.steps_bar import keras

CELLS = nbformat.read(ROOT / "notebooks" / "training" / "train_centernet.ipynb", 4).cells


def trained(*ids: str, **names) -> SimpleNamespace:
    """What cells of the training notebook define, its imports and targets first."""
    known = {c.id: c.source for c in CELLS}
    names |= {"profile": "smoke", "seed": 7}
    exec("\n".join(known[i] for i in ("imports", "radius", "targets", *ids)), names)
    return SimpleNamespace(**names)


def network() -> keras.Model:
    """For 64 x 64 pixels and three kinds of objects."""
    made, layers = trained("block", "heads"), keras.layers
    image = keras.Input((64, 64, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(image)
    x = layers.Conv2D(8, 7, 2, "same", name="stem_conv")(x)
    x = layers.MaxPooling2D(3, 2, "same", name="stem_pool")(x)
    x = made.block(x, 8, 1, True, "stage1_block1")
    x = made.norm_relu(made.block(x, 16, 2, True, "stage2_block1"), "post")
    x, maps = made.upsample(x, 16, "neck1"), {}
    for name, channels in {"heat": 3, "size": 2, "offset": 2}.items():
        y = layers.Conv2D(8, 3, padding="same", activation="relu", name=f"{name}_conv")(x)
        start = keras.initializers.Constant(-2.19 if name == "heat" else 0.0)
        maps[name] = layers.Conv2D(channels, 1, bias_initializer=start, name=name)(y)
    return keras.Model(image, maps, name="centernet_transposed")
