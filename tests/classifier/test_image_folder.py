"""Class folders become labelled squares, cut at the centre; every bad folder gets a sentence."""

import numpy as np
import pytest
from PIL import Image

from qlab.classifier import image_folder
from qlab.core.errors import QlabError


@pytest.fixture
def world(tmp_path):
    images = {"n02/b.png": (0, 0, 200), "n02/a.JPEG": (0, 0, 100), "n01/z.png": (90, 0, 0)}
    for name, colour in images.items():
        (tmp_path / "w" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 20) if "z" in name else (12, 8), colour).save(tmp_path / "w" / name)
    (tmp_path / "w" / "n02" / "notes.txt").write_text("no image")
    (tmp_path / "w" / ".cache").mkdir()
    return tmp_path / "w"


def test_labels_follow_sorted_names_and_classes_take_turns(world):
    found = image_folder.load(world, (4, 4))
    assert found.classes == ("n01", "n02") and found.labels.tolist() == [0, 1, 1]
    assert found.images.shape == (3, 4, 4, 3)
    assert abs(found.images[:, 0, 0].astype(int) - [[90, 0, 0], [0, 0, 100], [0, 0, 200]]).max() < 4
    others = image_folder.load(world, (4, 4), classes=["n00", "n02", "n01"])
    assert others.labels.tolist() == [1, 2, 1]  # those of the model
    (world / "n02" / "b.png").write_bytes(b"never read")
    assert len(image_folder.load(world, (4, 4), limit=2)) == 2


def test_the_centre_is_what_is_kept():
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[1:7, 9:15] = 200  # the centre square; crop 6 / 8 keeps just it
    assert (image_folder.centre(wide, (6, 6), crop=0.75) == 200).all()
    assert (image_folder.centre(wide.transpose(1, 0, 2), (6, 6), crop=0.75) == 200).all()
    assert not (image_folder.centre(wide, (8, 8), crop=1.0) == 200).all()
    middle = image_folder.centre(wide, (3, 9), crop=1.0)  # the middle of a wide part of it
    assert middle.shape == (3, 9, 3) and (middle[1, 4] > 150).all() and not middle[:, 0].any()
    square = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    assert (image_folder.centre(square, (5, 5), crop=1.0) == square).all()


def test_bad_folders_say_what_is_wrong(world, tmp_path):
    picture = world / "n01" / "z.png"
    for folder, classes, act, said in [
        (tmp_path / "none", (), None, "a folder per class with its images; it has none"),
        (world / "n01", (), None, "a folder per class with its images; it has none"),
        (world, ["n02"], None, "has a folder 'n01', which is not among the 1 classes of training"),
        (world, (), lambda: picture.write_bytes(b"\x89PNG"), r"z\.png is truncated or no image"),
        (world, (), picture.unlink, "class folder 'n01' in .* has no images"),
    ]:
        _ = act and act()
        with pytest.raises(QlabError, match=said):
            image_folder.load(folder, (4, 4), classes)
