"""Images with one label each: what an image classifier is trained, calibrated and scored on."""

import hashlib
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from PIL import Image

from qlab.core.errors import QlabError


@dataclass(frozen=True)
class LabelledImages:
    """Images of one size and their labels; QlabError if the three fields do not fit together."""

    images: np.ndarray  # uint8 [n, height, width, 3], RGB, or [n, height, width, 1], grey
    labels: np.ndarray  # int64 [n], 0 <= label < len(classes)
    classes: tuple[str, ...]  # names, by label

    def __post_init__(self) -> None:
        images, labels, top = self.images, self.labels, len(self.classes) - 1
        here = " with labels ".join(f"{a.dtype} {list(a.shape)}" for a in (images, labels))
        if images.dtype != np.uint8 or labels.shape != (len(images) or -1,):
            raise QlabError(
                f"Images are uint8 [n, height, width, 1 or 3], one int64 label each; not {here}."
            )
        if labels.min() < 0 or labels.max() > top:
            raise QlabError(f"Labels are 0 to {top}; found {labels.min()} to {labels.max()}.")

    def __len__(self) -> int:
        return len(self.labels)

    def taken(self, which: slice | np.ndarray) -> Self:
        """The images that a slice, indices or a mask select; QlabError if there are none."""
        return replace(self, images=self.images[which], labels=self.labels[which])

    def without(self, others: "LabelledImages") -> Self:
        """The images that are not, pixel for pixel, among the others."""
        seen = {image.tobytes() for image in others.images}
        return self.taken(np.array([image.tobytes() not in seen for image in self.images]))

    def grey(self) -> Self:
        """The same images in grey, [n, height, width, 1]."""
        made = [np.asarray(Image.fromarray(one).convert("L")) for one in self.images]
        return replace(self, images=np.stack(made)[..., None])

    @property
    def sha256(self) -> str:
        """Hash of the images and their labels."""
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()
