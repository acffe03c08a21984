"""shapes32 is what it says: the same pixels everywhere, disjoint splits, even classes."""

import numpy as np
import pytest

from qlab.core import shapes32
from qlab.core.errors import QlabError


@pytest.mark.parametrize("split", shapes32.SEEDS)
def test_pixels_are_those_of_every_machine(split):
    assert shapes32.digest(split) == shapes32.DIGESTS[split]


def test_an_image_depends_on_its_split_and_index_alone():
    later, label = shapes32.draw("test", 5)
    first_six = shapes32.load("test", 6)
    assert (first_six.images[5] == later).all() and first_six.labels[5] == label
    assert later.shape == (32, 32, 3) and later.dtype == np.uint8


def test_splits_share_no_image():
    """All of calibration and test against each other, and a part of train as large as test."""
    drawn = [shapes32.load(s, min(n, 2000)) for s, n in shapes32.COUNTS.items()]
    pixels = {image.tobytes() for split in drawn for image in split.images}
    assert len(pixels) == sum(len(split) for split in drawn) == 4512
    for split in drawn[::2]:
        shares = np.bincount(split.labels, minlength=10) / len(split)
        assert abs(shares - 0.1).max() < 0.03


def test_what_it_does_not_have_and_a_machine_that_draws_differently(monkeypatch):
    with pytest.raises(QlabError, match="has the splits train, calibration, test; .* 'val'"):
        shapes32.load("val", 2)
    for count in (0, 2001):
        with pytest.raises(QlabError, match=f"'test' has 1 to 2000 images, not {count}"):
            shapes32.load("test", count)
    monkeypatch.setitem(shapes32.DIGESTS, "test", "0" * 64)
    with pytest.raises(QlabError, match=r"install the exact versions of requirements\.lock"):
        shapes32.load("test", 2)


def test_embedded_images_are_drawn_once(home, monkeypatch):
    first = shapes32.kept("calibration", 8)
    assert (first.images == shapes32.load("calibration", 8).images).all()
    monkeypatch.setattr(shapes32, "draw", None)
    again = shapes32.kept("calibration", 8)
    assert (again.images == first.images).all() and (again.labels == first.labels).all()
    assert again.classes == shapes32.CLASSES
