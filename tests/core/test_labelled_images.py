"""Images and labels that do not fit together are refused; parts are views of the whole."""

import numpy as np
import pytest

from qlab.core.errors import QlabError
from qlab.core.labelled_images import LabelledImages

IMAGES = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
LABELS = np.array([0, 1, 2, 0, 1])
CLASSES = ("a", "b", "c")


def test_parts_keep_images_and_labels_together():
    whole = LabelledImages(IMAGES, LABELS, CLASSES)
    part = whole.part(1, 3)
    assert len(whole) == 5 and len(part) == 2 and part.classes == CLASSES
    assert (part.images == IMAGES[1:3]).all() and part.labels.tolist() == [1, 2]
    assert whole.first(3).labels.tolist() == [0, 1, 2]
    assert len(whole.first(5)) == 5
    assert whole.without(part).labels.tolist() == [0, 0, 1]
    assert whole.sha256 != whole.without(part).sha256 == whole.without(part).sha256


@pytest.mark.parametrize(("start", "stop"), [(0, 6), (2, 2), (3, 1), (-1, 2)])
def test_parts_that_are_not_there_are_refused(start, stop):
    whole = LabelledImages(IMAGES, LABELS, CLASSES)
    with pytest.raises(QlabError, match=f"Images {start} up to {stop} were asked for, of 5"):
        whole.part(start, stop)


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (IMAGES.astype(np.float32), LABELS, r"these are float32 \[5, 4, 4, 3\]"),
        (IMAGES[..., :2], LABELS, r"these are uint8 \[5, 4, 4, 2\]"),
        (IMAGES[:0], LABELS[:0], r"these are uint8 \[0, 4, 4, 3\]"),
        (IMAGES, LABELS[:4], r"needs one int64 label; .* labels int64 \[4\]"),
        (IMAGES, LABELS.astype(np.float64), r"labels float64 \[5\]"),
        (IMAGES, np.array([0, 1, 3, 0, 1]), "Image 2 has the label 3; expected 0 to 2"),
        (IMAGES, np.array([0, 1, 2, -1, 1]), "Image 3 has the label -1"),
    ],
)
def test_parts_that_do_not_fit_are_named(images, labels, sentence):
    with pytest.raises(QlabError, match=sentence):
        LabelledImages(images, labels, CLASSES)
