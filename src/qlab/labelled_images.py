"""Images with one label each: what a classifier is trained, calibrated and scored on."""

from dataclasses import dataclass

import numpy as np

from qlab.errors import QlabError


@dataclass(frozen=True)
class LabelledImages:
    """Images of one size and their labels; QlabError where the three parts do not fit together."""

    images: np.ndarray  # uint8 [n, height, width, 3], RGB
    labels: np.ndarray  # int64 [n], 0 <= label < len(classes)
    classes: tuple[str, ...]  # names, by label

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[3] != 3:
            raise QlabError(
                "Labelled images are uint8 [n, height, width, 3]; these are "
                f"{self.images.dtype} {list(self.images.shape)}."
            )
        if not len(self.images):
            raise QlabError("There are no labelled images: 0 were given, 1 or more are needed.")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise QlabError(
                f"{len(self.images)} images need as many int64 labels; there are "
                f"{self.labels.dtype} {list(self.labels.shape)}."
            )
        self._check_range()

    def _check_range(self) -> None:
        outside = (self.labels < 0) | (self.labels >= len(self.classes))
        if outside.any():
            place = int(outside.argmax())
            raise QlabError(
                f"Image {place} has the label {self.labels[place]}; with {len(self.classes)} "
                f"classes the labels are 0 to {len(self.classes) - 1}."
            )

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> "LabelledImages":
        """The first `count` images; QlabError where there are fewer."""
        return self.part(0, count)

    def part(self, start: int, stop: int) -> "LabelledImages":
        """Images `start` up to `stop`, without it; QlabError where these are none, or not there."""
        if not 0 <= start < stop <= len(self):
            raise QlabError(
                f"Images {start} up to {stop} were asked for, of {len(self)}; ask for at least "
                "one, and for no more than there are."
            )
        return LabelledImages(self.images[start:stop], self.labels[start:stop], self.classes)
