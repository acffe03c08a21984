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
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "at the file .*: Input should be a valid dictionary"),
        (without("categories"), "at categories .*: Field required"),
        (without("width", "images"), "at images 0 width .*: Field required"),
        (changed("images", file_name=None), "images 0 file_name .* valid string; found None"),
        (changed("annotations", id=[1]), r"annotations 0 id .* valid integer; found \[1\]"),
        (changed("annotations", id=0), "annotations 0 id .* greater than or equal to 1; found 0"),
        (changed("annotations", bbox=[0, 0, -4, 4]), "bbox 2 .* greater than or equal to 0"),
        (
            changed("annotations", bbox=[0, 0, float("nan"), 4]),
            "bbox 2 .* finite number",
        ),
        (changed("annotations", bbox=[0, 0, 10**400, 4]), "bbox 2 .* valid number; found 1000"),
        (changed("annotations", bbox=[0, 0, True, 4]), "bbox 2 .* valid number; found True"),
        (changed("annotations", area=-1), "annotations 0 area .* greater than or equal to 0"),
        (changed("annotations", iscrowd="no"), "annotations 0 iscrowd .* 0 or 1; found no"),
        (changed("annotations", image_id=9), "the image_id 9, which 'images' does not list"),
        (changed("annotations", category_id=4), "category_id 4, which 'categories' does not list"),
        (GOOD | {"images": GOOD["images"] * 2}, "the id 1 stands twice in 'images'"),
        (GOOD | {"annotations": GOOD["annotations"] * 2}, "stands twice in 'annotations'"),
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


def test_scores_that_are_no_numbers_and_unknown_labels():
    world, results = random_world(3)
    coco.check_numbers(results, "model")
    coco.check_labels(results, world, "model")
    with pytest.raises(QlabError, match="not a finite number"):
        coco.check_numbers([{**results[0], "score": float("nan")}], "model")
    with pytest.raises(QlabError, match="category 77, which the annotations do not know"):
        coco.check_labels([{**results[0], "category_id": 77}], world, "model")


def test_found_objects_ignores_crowds_and_weak_scores():
    world, _ = random_world(2)
    perfect = [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "bbox": a["bbox"],
            "score": 0.9,
        }
        for a in world.anns.values()
    ]
    ids = sorted(world.imgs)
    solid = sum(not a["iscrowd"] for a in world.anns.values())
    found = coco.found_objects(world, perfect, ids, score=0.3)
    assert len(found) == solid and found.all()
    assert not coco.found_objects(world, perfect, ids, score=0.95).any()
    assert not coco.found_objects(world, [], ids, score=0.3).any()


@pytest.mark.parametrize("seed", range(4))
def test_matches_are_those_of_pycocotools_own_reader(seed):
    world, results = random_world(seed)
    mine = coco.summary(coco.match(world, results, sorted(world.imgs)))
    world.dataset.setdefault("info", {})
    theirs = COCOeval(world, world.loadRes(results), "bbox")
    theirs.evaluate()
    np.testing.assert_array_equal(mine, coco.summary(theirs))


def small_world(*boxes, categories=(3,)):
    """Objects (id from 1) on one image, the i-th of the i-th category, cyclically."""
    return coco.quiet_coco(
        {
            "images": GOOD["images"],
            "categories": [{"id": c, "name": str(c)} for c in sorted(set(categories))],
            "annotations": [
                {"id": i + 1, "image_id": 1, "category_id": categories[i % len(categories)],
                 "bbox": list(b), "area": float(b[2] * b[3]), "iscrowd": 0}
                for i, b in enumerate(boxes)
            ],
        }
    )  # fmt: skip


def answer(box, category=3, score=0.5):
    return {"image_id": 1, "category_id": category, "bbox": list(box), "score": score}


def test_found_means_at_least_the_score_and_half_the_overlap():
    world = small_world((0, 0, 10, 10))
    assert coco.found_objects(world, [answer((0, 0, 10, 6))], [1], score=0.5).tolist() == [True]
    assert coco.found_objects(world, [answer((0, 0, 10, 4))], [1], score=0.5).tolist() == [False]
    assert coco.found_objects(world, [answer((0, 0, 10, 9), 4)], [1], 0.5).tolist() == [False]


def test_one_detection_finds_one_object_whatever_their_size_classes():
    world = small_world((0, 0, 34, 34), (0, 0, 30, 30))
    found = coco.found_objects(world, [answer((0, 0, 33, 33))], [1], score=0.5)
    assert found.tolist() == [True, False]


def test_found_objects_come_in_the_order_of_their_ids():
    world = small_world((0, 0, 9, 9), (20, 20, 9, 9), categories=(7, 3))
    found = coco.found_objects(world, [answer((0, 0, 9, 9), 7)], [1], score=0.5)
    assert found.tolist() == [True, False]
