"""shapes32 and what is done to it: the same pixels everywhere, parts that fit, worse copies."""

import numpy as np
import pytest

from qlab.core.errors import QlabError
from qlab.images import corruptions, shapes32
from qlab.images.labelled import LabelledImages

IMAGES = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
LABELS = np.array([0, 1, 2, 0, 1])


def test_pixels_are_those_of_every_machine_and_depend_on_split_and_index_alone(monkeypatch):
    later, label = shapes32.draw("test", 5)
    first_six = shapes32.load("test", 6)
    assert (first_six.images[5] == later).all() and first_six.labels[5] == label
    monkeypatch.setitem(shapes32.DIGESTS, "test", "0" * 64)
    with pytest.raises(QlabError, match=r"install the exact versions of requirements\.lock"):
        shapes32.load("test", 2)


def test_splits_share_no_image():
    drawn = [shapes32.load(split, 500) for split in shapes32.COUNTS]
    pixels = {image.tobytes() for split in drawn for image in split.images}
    assert len(pixels) == sum(len(split) for split in drawn) == 1500
    labels = np.concatenate([split.labels for split in drawn])
    assert abs(np.bincount(labels, minlength=10) / 1500 - 0.1).max() < 0.03


def test_parts_keep_images_and_labels_together():
    whole = LabelledImages(IMAGES, LABELS, ("a", "b", "c"))
    part = whole.taken(slice(1, 3))
    assert (part.images == IMAGES[1:3]).all() and part.labels.tolist() == [1, 2]
    assert whole.without(part).labels.tolist() == [0, 0, 1]
    assert part.grey().images.shape == (2, 4, 4, 1) and part.grey().labels is part.labels


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: LabelledImages(IMAGES, LABELS, "abc").taken(slice(5, 6)), r"not uint8 \[0"),
        (lambda: LabelledImages(IMAGES, LABELS[:4], "abc"), r"not .* with labels int64 \[4\]"),
        (lambda: LabelledImages(IMAGES, LABELS, "ab"), "Labels are 0 to 1; found 0 to 2"),
    ],
)
def test_what_is_not_there_or_does_not_fit_is_refused(make, sentence):
    with pytest.raises(QlabError, match=sentence):
        make()


@pytest.mark.parametrize("kind", list(corruptions.KINDS))
def test_more_strength_is_further_from_the_image_and_the_same_for_a_seed(kind):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    made = [corruptions.corrupt(image, kind, strength, 5) for strength in corruptions.STRENGTHS]
    away = [np.abs(one - image.astype(float)).mean() for one in made]
    assert 0 < away[0] < away[1] < away[2]
    assert (corruptions.corrupt(image, kind, 3, 5) == made[2]).all()


def test_noise_has_the_stated_strength_and_stays_in_range():
    grey, white = (np.full((64, 64, 3), v, np.uint8) for v in (128, 255))
    for strength, spread in ((1, 10), (2, 22), (3, 40)):
        assert corruptions.noise(grey, strength, 0).std() == pytest.approx(spread, rel=0.03)
        assert corruptions.noise(white, strength, 0).min() > 255 - 6 * spread
