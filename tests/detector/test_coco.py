"""Annotations and images of every bad kind get one clear sentence."""

import copy
import json

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval
from tiny_coco import random_world, summary

from qlab.core.errors import QlabError
from qlab.detector import coco

GOOD = {
    "images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 8}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 1, 4, 4]}],
    "categories": [{"id": 3, "name": "star"}],
}


def written(tmp_path, content) -> object:
    path = tmp_path / "instances_x.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def without(key: str, row: str | None = None) -> dict:
    left = copy.deepcopy(GOOD)
    del (left if row is None else left[row][0])[key]
    return left


def changed(row: str, **values) -> dict:
    other = copy.deepcopy(GOOD)
    other[row][0].update(values)
    return other


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{'not': json", "cannot be read as JSON: Expecting"),
        ("[]", "at the file .*: Input should be a valid dictionary"),
        (without("file_name", "images"), "at images 0 file_name .*: Field required"),
        (changed("images", file_name=None), "images 0 file_name .* valid string; found None"),
        (changed("annotations", id=1.5), "annotations 0 id .* fractional part; found 1.5"),
        (changed("annotations", image_id="a"), "annotations 0 image_id .+valid integer.+; found a"),
        (changed("annotations", area="inf"), "annotations 0 area .* finite number; found inf"),
        (changed("annotations", bbox=[0, 0, -4, 4]), "bbox 2 .* greater than or equal to 0"),
        (changed("annotations", bbox=[0, 0, float("nan"), 4]), "bbox 2 .* finite number"),
        (changed("annotations", bbox=[0, 0, 10**400, 4]), "bbox 2 .* valid number; found 1000"),
        (changed("annotations", iscrowd="no"), "annotations 0 iscrowd .+valid integer.+; found no"),
        (changed("annotations", image_id=9), "the image_id 9, which 'images' does not list"),
        (GOOD | {"images": GOOD["images"] * 2}, "the id 1 stands twice in 'images'"),
    ],
)
def test_bad_annotations_say_what_is_wrong(tmp_path, content, sentence):
    with pytest.raises(QlabError, match=sentence):
        coco.load_annotations(written(tmp_path, content))


def test_missing_annotations_and_images(tmp_path):
    with pytest.raises(QlabError, match=r"cannot be read as JSON: .*No such file"):
        coco.load_annotations(tmp_path / "none.json")
    world = coco.load_annotations(written(tmp_path, GOOD))
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(QlabError, match=r"lacks 1 of the 1 annotated images, first a\.png"):
            coco.image_paths(world, [1], folder)


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
    path = tmp_path / "instances_x.json"
    path.write_text(json.dumps(windows(clean.dataset)), encoding=encoding)
    read = coco.load_annotations(path)
    ids = sorted(clean.imgs)
    first = clean.dataset["annotations"][0]
    assert not first["iscrowd"]
    results.append({k: first[k] for k in ("image_id", "category_id", "bbox")} | {"score": 1.0})
    scores = [summary(coco.match(w, results, ids)) for w in (clean, read)]
    np.testing.assert_array_equal(*scores)
    found = [coco.found_objects(w, results, ids, 0.3) for w in (clean, read)]
    np.testing.assert_array_equal(*found)
    keys = ("image_id", "category_id", "bbox", "iscrowd", "area")
    for a, b in zip(clean.dataset["annotations"], read.dataset["annotations"], strict=True):
        assert [a[k] for k in keys] == [b[k] for k in keys]


def test_what_qlab_does_not_read_is_kept(tmp_path):
    rich = changed("images", license=4, flickr_url="http://x") | {"info": {"year": 2017}}
    read = coco.load_annotations(written(tmp_path, rich)).dataset
    assert read["images"] == rich["images"] and read["info"] == rich["info"]


def test_photos_are_found_under_their_windows_name_and_without_their_folders(tmp_path):
    for name in ("a.png", "b.png", "deep/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name, place in (
        ("a.png", "a.png"),
        ("images\\a.png", "a.png"),
        ("C:\\me\\images\\a.png", "a.png"),
        ("val/b.png", "b.png"),
        ("deep\\c.png", "deep/c.png"),
    ):
        world = coco.load_annotations(written(tmp_path, changed("images", file_name=name)))
        assert coco.image_paths(world, [1], tmp_path) == {1: tmp_path / place}
    two = [GOOD["images"][0] | {"id": i, "file_name": f"{i}/a.png"} for i in (1, 2)]
    world = coco.load_annotations(written(tmp_path, GOOD | {"images": two}))
    with pytest.raises(QlabError, match=r"lacks 2 of the 2 annotated images, first 1/a\.png"):
        coco.image_paths(world, [1, 2], tmp_path)  # which of the two a.png is, is not known


@pytest.mark.parametrize("seed", range(4))
def test_matches_are_those_of_pycocotools_own_reader(seed):
    world, results = random_world(seed)
    mine = summary(coco.match(world, results, sorted(world.imgs)))
    world.dataset.setdefault("info", {})
    theirs = COCOeval(world, world.loadRes(results), "bbox")
    theirs.evaluate()
    np.testing.assert_array_equal(mine, summary(theirs))


def test_found_is_the_right_category_half_the_overlap_and_the_score():
    """Each case: objects of categories 7 and 3, one answer, and which objects it finds."""
    near, large = (0, 0, 10, 10), (0, 0, 34, 34)
    for boxes, answer, category, score, expected in (
        ((near, (20, 20, 9, 9)), (0, 0, 10, 6), 7, 0.5, [True, False]),
        ((near, (20, 20, 9, 9)), (20, 20, 9, 9), 3, 0.5, [False, True]),
        ((near, (20, 20, 9, 9)), (0, 0, 10, 4), 7, 0.5, [False, False]),
        ((near, (20, 20, 9, 9)), (0, 0, 10, 9), 3, 0.5, [False, False]),
        ((near, (20, 20, 9, 9)), (0, 0, 10, 9), 7, 0.4, [False, False]),
        ((large, near, (0, 0, 30, 30)), (0, 0, 33, 33), 7, 0.5, [True, False, False]),
    ):
        objects = [
            {"id": i, "image_id": 1, "category_id": (3, 7)[i % 2], "bbox": list(box), "iscrowd": 0,
             "area": float(box[2] * box[3])}
            for i, box in enumerate(boxes, 1)
        ]  # fmt: skip
        categories = [{"id": c, "name": str(c)} for c in (3, 7)]
        world = coco.quiet_coco(GOOD | {"categories": categories, "annotations": objects})
        answers = [{"image_id": 1, "category_id": category, "bbox": list(answer), "score": score}]
        assert coco.found_objects(world, answers, [1], score=0.5).tolist() == expected


def test_crowds_are_no_objects():
    world, _ = random_world(2)
    keys = ("image_id", "category_id", "bbox")
    perfect = [{k: a[k] for k in keys} | {"score": 0.9} for a in world.anns.values()]
    found = coco.found_objects(world, perfect, sorted(world.imgs), score=0.3)
    assert len(found) == sum(not a["iscrowd"] for a in world.anns.values()) and found.all()
