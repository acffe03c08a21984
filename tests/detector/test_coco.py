"""Annotations and images of every bad kind get one clear sentence."""

import json

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval
from tiny_coco import random_world

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
    copy = json.loads(json.dumps(GOOD))
    del (copy if row is None else copy[row][0])[key]
    return copy


def changed(row: str, **values) -> dict:
    copy = json.loads(json.dumps(GOOD))
    copy[row][0].update(values)
    return copy


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{'not': json", "is not valid JSON"),
        ("[]", "at the file .*: Input should be a valid dictionary"),
        (without("width", "images"), "at images 0 width .*: Field required"),
        (changed("images", file_name=None), "images 0 file_name .* valid string; found None"),
        (changed("annotations", id=0), "annotations 0 id .* greater than or equal to 1; found 0"),
        (changed("annotations", bbox=[0, 0, -4, 4]), "bbox 2 .* greater than or equal to 0"),
        (changed("annotations", bbox=[0, 0, float("nan"), 4]), "bbox 2 .* finite number"),
        (changed("annotations", bbox=[0, 0, 10**400, 4]), "bbox 2 .* valid number; found 1000"),
        (changed("annotations", iscrowd="no"), "annotations 0 iscrowd .* 0 or 1; found no"),
        (changed("annotations", image_id=9), "the image_id 9, which 'images' does not list"),
        (GOOD | {"images": GOOD["images"] * 2}, "the id 1 stands twice in 'images'"),
    ],
)
def test_bad_annotations_say_what_is_wrong(tmp_path, content, sentence):
    with pytest.raises(QlabError, match=sentence):
        coco.load_annotations(written(tmp_path, content))


def test_missing_annotations_and_images(tmp_path):
    with pytest.raises(QlabError, match="There is no annotation file at"):
        coco.load_annotations(tmp_path / "none.json")
    world = coco.load_annotations(written(tmp_path, GOOD))
    with pytest.raises(QlabError, match="There is no folder with images at"):
        coco.image_paths(world, [1], tmp_path / "nowhere")
    with pytest.raises(QlabError, match=r"lacks 1 of the 1 annotated images, first a\.png"):
        coco.image_paths(world, [1], tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_matches_are_those_of_pycocotools_own_reader(seed):
    world, results = random_world(seed)
    mine = coco.summary(coco.match(world, results, sorted(world.imgs)))
    world.dataset.setdefault("info", {})
    theirs = COCOeval(world, world.loadRes(results), "bbox")
    theirs.evaluate()
    np.testing.assert_array_equal(mine, coco.summary(theirs))


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


def test_crowds_are_no_objects_and_unknown_labels_are_refused():
    world, _ = random_world(2)
    keys = ("image_id", "category_id", "bbox")
    perfect = [{k: a[k] for k in keys} | {"score": 0.9} for a in world.anns.values()]
    found = coco.found_objects(world, perfect, sorted(world.imgs), score=0.3)
    assert len(found) == sum(not a["iscrowd"] for a in world.anns.values()) and found.all()
    coco.check_labels(perfect, world, "model")
    with pytest.raises(QlabError, match="category 77, which the annotations do not know"):
        coco.check_labels([{**perfect[0], "category_id": 77}], world, "model")
