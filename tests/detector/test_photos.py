"""Photos that phones took and people copied are judged as they were annotated, and once."""

import numpy as np
import pytest
from PIL import Image

from qlab.core.errors import QlabError
from qlab.core.images import AsStored
from qlab.detector import coco

QUARTER, HALF = 6, 3  # EXIF orientations


@pytest.fixture
def turned(tmp_path):
    """turned((name, orientation, stated size), ...): which photos, 6 x 4 as stored, stay so."""

    def judged(*rows):
        found, entries = {}, []
        for i, (name, orientation, stated) in enumerate(rows, 1):
            exif = Image.Exif()
            exif[0x0112] = orientation
            found[i] = tmp_path / name
            size = (4, 4) if name.startswith("square") else (6, 4)
            Image.new("RGB", size).save(found[i], exif=exif)
            sizes = dict(zip(("width", "height"), stated or (), strict=False))
            entries.append({"id": i, "file_name": name, **sizes})
        world = coco.quiet_coco({"images": entries, "annotations": [], "categories": []})
        read = coco.as_annotated(world, found)
        assert read == found and list(read) == list(found)
        return [path.name for path in read.values() if isinstance(path, AsStored)]

    return judged


UPRIGHT, STORED, TURNED = ("u.jpg", 1, (6, 4)), ("s.jpg", QUARTER, (6, 4)), ("t.png", 8, (4, 6))
UNSURE = [("square.jpg", 8, (4, 4)), ("half.jpg", HALF, (6, 4)), ("silent.png", QUARTER, None)]


@pytest.mark.parametrize(
    ("rows", "as_stored"),
    [
        ([UPRIGHT, STORED], ["s.jpg"]),
        ([UPRIGHT, TURNED], []),
        ([STORED, TURNED, ("v.jpg", QUARTER, (6, 4))], ["s.jpg", "v.jpg"]),
        ([UPRIGHT, *UNSURE], []),  # as viewers do
        ([STORED, *UNSURE], ["s.jpg", "square.jpg", "half.jpg", "silent.png"]),  # as the other
        ([TURNED, *UNSURE], []),
        ([STORED, TURNED, *UNSURE], ["s.jpg"]),
    ],
)
def test_the_size_that_the_annotations_state_tells_whether_exif_holds(turned, rows, as_stored):
    assert turned(*rows) == as_stored


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (("a.jpg", 1, (4, 6)), r"that a\.jpg has 4 x 6 pixels, but .*a\.jpg has 6 x 4: .* Give"),
        (("a.jpg", HALF, (4, 6)), "has 4 x 6 pixels, but .* has 6 x 4"),
        (("b.png", QUARTER, (640, 480)), r"b\.png has 640 x 480 pixels, but .* has 4 x 6"),
    ],
)
def test_a_size_that_is_not_the_photos_is_refused(turned, row, sentence):
    with pytest.raises(QlabError, match=sentence):
        turned(UPRIGHT, row)


def test_a_photo_under_two_names_counts_once_and_that_is_said(tmp_path):
    found = {i: tmp_path / f"{i}.png" for i in (5, 3, 9, 7)}
    for i, path in found.items():
        Image.fromarray(np.full((4, 6, 3), 7 if i == 9 else i, np.uint8)).save(path)
    kept, told = coco.each_once(found)
    assert kept == {i: found[i] for i in (5, 3, 9)}
    assert told == ["Left out as copies of other photos: 1 of 4, such as 7.png of 9.png."]
    (tmp_path / "copy").write_bytes(found[3].read_bytes())
    assert coco.each_once(kept) == (kept, [])
    told = ["Left out as photos that calibrate: 1 of 3, such as copy."]
    without = {i: found[i] for i in (5, 9)}
    assert coco.each_once(kept, [tmp_path / "copy"]) == (without, told)
