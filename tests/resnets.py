"""The networks that the notebook `train_resnet` builds, from its cells."""

import nbformat
from conftest import ROOT

from qlab.classifier.model import keras

CELLS = nbformat.read(ROOT / "notebooks" / "training" / "train_resnet.ipynb", 4).cells
BLOCKS = {"resnet8": 1, "resnet20": 3}  # of a stack


def build(name: str, size: int = 32):
    """A network of fresh weights, for images of that size."""
    scope = {"keras": keras, "layers": keras.layers}
    for cell in (c.source for c in CELLS if c.cell_type == "code" and c.source.startswith("def ")):
        exec(cell.replace("(32, 32, 3)", f"({size}, {size}, 3)"), scope)
    return scope["build"](name, BLOCKS[name])
