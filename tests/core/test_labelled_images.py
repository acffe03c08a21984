"""Labelled images in grey are those that Pillow makes."""

import numpy as np
from PIL import Image

from qlab.core.labelled_images import LabelledImages


def test_grey_is_pillows():
    images = np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3), np.uint8)
    grey = LabelledImages(images, np.zeros(4, np.int64), ("a",)).grey().images
    theirs = [np.asarray(Image.fromarray(x).convert("L"))[..., None] for x in images]
    assert grey.dtype == np.uint8 and np.array_equal(grey, np.stack(theirs))
