"""Annotations and images of every bad kind get one clear sentence."""

import json

import numpy as np
import pytest
from PIL import Image
from tiny_coco import random_world

from qlab import coco
from qlab.errors import QlabError

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


def test_good_annotations_load(tmp_path):
    world = coco.load_annotations(written(tmp_path, GOOD))
    assert world.anns[1]["area"] == 16 and world.anns[1]["iscrowd"] == 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{'not': json", "is not valid JSON"),
        ("[]", "lacks the list 'images'"),
        (without("categories"), "lacks the list 'categories'"),
        (without("width", "images"), "entry 0 of 'images' lacks 'width'"),
        (without("bbox", "annotations"), "entry 0 of 'annotations' lacks 'bbox'"),
        (changed("annotations", image_id=9), "on image 9, which is not listed"),
        (changed("annotations", category_id=4), "has category 4, which is not among"),
        (changed("annotations", id=0), "COCO's ids start at 1"),
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


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "LA", "1"])
def test_other_colour_modes_are_converted_and_said(tmp_path, mode, caplog):
    kind = "tif" if mode == "CMYK" else "png"
    path = tmp_path / f"a.{kind}"
    Image.new(mode, (6, 4)).save(path)
    image = coco.read_image(path)
    assert image.shape == (4, 6, 3) and image.dtype == np.uint8
    assert f"was converted from {mode} to RGB" in caplog.text


def test_sixteen_bit_images_are_refused(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(path)
    with pytest.raises(QlabError, match="more than 8 bits a channel"):
        coco.read_image(path)


def test_truncated_missing_and_no_image(tmp_path):
    path = tmp_path / "a.jpg"
    Image.effect_noise((64, 64), 50).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(QlabError, match="is truncated or no image"):
        coco.read_image(path)
    path.write_text("hello")
    with pytest.raises(QlabError, match="is truncated or no image"):
        coco.read_image(path)
    with pytest.raises(QlabError, match="There is no image at"):
        coco.read_image(tmp_path / "none.jpg")


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
