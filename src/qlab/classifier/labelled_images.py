"""Images with one label each: what an image classifier is trained, calibrated and scored on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qlab import image_robustness
from qlab.errors import QlabError
from qlab.labelled_examples import LabelledExamples


@dataclass(frozen=True)
class LabelledImages(LabelledExamples):
    """Images of one size and their labels; QlabError where the three parts do not fit together."""

    images: np.ndarray  # uint8 [n, height, width, 3], RGB
    labels: np.ndarray  # int64 [n], 0 <= label < len(classes)
    classes: tuple[str, ...]  # names, by label

    noun, field = "image", "images"

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[3] != 3:
            raise QlabError(
                "Labelled images are uint8 [n, height, width, 3]; these are "
                f"{self.images.dtype} {list(self.images.shape)}."
            )
        self._check_labels()

    def corrupted_sets(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each corruption's name and its copies of the images, one set at a time in memory."""
        return image_robustness.corrupted_sets(self.images)
