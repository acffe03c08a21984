"""Annotations and photos as people have them."""

import copy
import json

import numpy as np
import pytest
from PIL import Image
from tiny_coco import random_world, summary

from qlab.core.errors import QlabError
from qlab.detector import coco, mini_coco
from qlab.images.photos import AsStored

GOOD = {
    "images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 8}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 1, 4, 4]}],
    "categories": [{"id": 3, "name": "star"}],
}


def changed(row: str, **values) -> dict:
    other = copy.deepcopy(GOOD)
    other[row][0].update(values)
    return other


def loaded(folder, content, encoding="utf-8"):
    path = folder / "instances_x.json"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding=encoding)
    return coco.load_annotations(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{'not': json", "cannot be read as JSON: Expecting"),
        ("[]", "at the file .*: Input should be a valid dictionary"),
        (changed("images", file_name=None), "images 0 file_name .* valid string; found None"),
        (changed("annotations", id=1.5), "annotations 0 id .* fractional part; found 1.5"),
        (changed("annotations", area="inf"), "annotations 0 area .* finite number; found inf"),
        (changed("annotations", bbox=[0, 0, -4, 4]), "bbox 2 .* greater than or equal to 0"),
        (changed("annotations", bbox=[0, 0, float("nan"), 4]), "bbox 2 .* finite number"),
        (changed("annotations", image_id=9), "the image_id 9, which 'images' does not list"),
        (GOOD | {"images": GOOD["images"] * 2}, "the id 1 stands twice in 'images'"),
    ],
)
def test_bad_annotations_say_what_is_wrong(tmp_path, content, sentence):
    with pytest.raises(QlabError, match=sentence):
        loaded(tmp_path, content)


def windows(dataset: dict) -> dict:
    """A dataset as pandas and Windows may write it."""
    dataset = copy.deepcopy(dataset)
    for number, a in enumerate(dataset["annotations"]):
        # A column with a gap is one of floats; a column with one word is one of strings.
        a |= {"id": float(number), "image_id": str(a["image_id"]), "segmentation": None}
        a |= {"category_id": f"{a['category_id']}.0", "bbox": [str(v) for v in a["bbox"]]}
        a |= {"iscrowd": float(a["iscrowd"]) or (None, float("nan"))[number % 2]}
        a |= {"area": (None, float("nan"), str(a["area"]))[number % 3]}
    for image in dataset["images"]:
        image |= {"id": float(image["id"]), "file_name": "images\\" + image["file_name"]}
        image |= {"width": str(image["width"]), "height": None}
    return dataset


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_pandas_and_windows_write_scores_as_the_clean_file(tmp_path, encoding):
    """The first annotation, whose id is 0, is found by a detection, which has to count."""
    clean, results = random_world(3, images=12)
    read, ids = loaded(tmp_path, windows(clean.dataset), encoding), sorted(clean.imgs)
    first = clean.dataset["annotations"][0]
    assert not first["iscrowd"]
    results.append({k: first[k] for k in ("image_id", "category_id", "bbox")} | {"score": 1.0})
    scores = [summary(coco.match(w, results, ids)) for w in (clean, read)]
    np.testing.assert_array_equal(*scores)
    keys = ("image_id", "category_id", "bbox", "iscrowd", "area")
    for a, b in zip(clean.dataset["annotations"], read.dataset["annotations"], strict=True):
        assert [a[k] for k in keys] == [b[k] for k in keys]


def test_photos_are_found_under_their_windows_name_and_without_their_folders(tmp_path):
    for place in ("a.png", "b.png", "deep/c.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    names = {"a.png": "a.png", "C:\\me\\images\\a.png": "a.png"}
    names |= {"val/b.png": "b.png", "deep\\c.png": "deep/c.png"}
    for name, place in names.items():
        world = loaded(tmp_path, changed("images", file_name=name))
        assert coco.image_paths(world, [1], tmp_path) == {1: tmp_path / place}


QUARTER, HALF = 6, 3  # EXIF orientations
UPRIGHT, STORED, TURNED = ("u.jpg", 1, (6, 4)), ("s.jpg", QUARTER, (6, 4)), ("t.png", 8, (4, 6))
UNSURE = [("square.jpg", 8, (4, 4)), ("half.jpg", HALF, (6, 4)), ("silent.png", QUARTER, None)]
PHOTOS = [  # 6 x 4 as stored, with EXIF and the size that the annotations state: which stay so
    ([UPRIGHT, STORED], ["s.jpg"]),
    ([UPRIGHT, *UNSURE], []),  # as viewers do
    ([STORED, *UNSURE], ["s.jpg", "square.jpg", "half.jpg", "silent.png"]),  # as the other
    ([STORED, TURNED, *UNSURE], ["s.jpg"]),
    ([UPRIGHT, ("b.png", QUARTER, (640, 480))], r"b\.png has 640 x 480 pixels, but .* has 4 x 6"),
]


@pytest.mark.parametrize(("rows", "expected"), PHOTOS)
def test_the_size_that_the_annotations_state_tells_whether_exif_holds(tmp_path, rows, expected):
    found, entries = {}, []
    for i, (name, orientation, stated) in enumerate(rows, 1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        found[i] = tmp_path / name
        Image.new("RGB", (4, 4) if "square" in name else (6, 4)).save(found[i], exif=exif)
        sizes = dict(zip(("width", "height"), stated or (), strict=False))
        entries.append({"id": i, "file_name": name, **sizes})
    world = coco.quiet_coco({"images": entries, "annotations": [], "categories": []})
    if isinstance(expected, str):
        with pytest.raises(QlabError, match=expected):
            coco.as_annotated(world, found)
        return
    read = coco.as_annotated(world, found)
    assert read == found and list(read) == list(found)
    assert [p.name for p in read.values() if isinstance(p, AsStored)] == expected


@pytest.mark.parametrize(("height", "expected"), [(5.1, True), (4.9, False)])
def test_found_is_half_the_overlap(height, expected):
    about = {"image_id": 1, "category_id": 3, "bbox": [0, 0, 10, 10]}
    whole = about | {"id": 1, "area": 100, "iscrowd": 0}
    answers = [about | {"bbox": [0, 0, 10, height], "score": 0.5}]
    world = coco.quiet_coco(GOOD | {"annotations": [whole]})
    assert coco.found_objects(world, answers, [1], score=0.5).tolist() == [expected]


@pytest.mark.parametrize("split", mini_coco.SEEDS)
def test_mini_coco_is_drawn_here_as_on_every_machine(tmp_path, split):
    assert mini_coco.write_coco(tmp_path, split, 1).is_file()  # compared with DIGESTS before
