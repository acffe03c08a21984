"""`mini_coco`: a small detection data set in COCO format, rendered from a seed.

Ten kinds of shapes lie on textured backgrounds, under uneven light, partly behind each other. An
image depends only on its split's seed and its index: splits share none; any can be drawn alone.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from qlab.core.cache import artefact, code_sha256, versions
from qlab.core.progress import bar
from qlab.images import shapes

SIZE = 256  # pixels, width and height
SEEDS = {"train": 11, "calibration": 22, "val": 33}  # of the splits
COUNTS = {"train": 4000, "calibration": 100, "val": 400}  # images of the splits
CATEGORIES = [
    {"id": i, "name": name, "supercategory": "shape"} for i, name in enumerate(shapes.NAMES, 1)
]
# sha256 over the pixels and annotations of the first 16 images of each split.
DIGESTS = {
    "train": "7f70d7a61bc3d245a4034c4d93434ca49a70b6c3e22d0ff13484b75b2fdfa4e2",
    "calibration": "f131310839eab7384f1432972aefd347accd9fce29e691ed95f346aae2214d7f",
    "val": "76847c30e329c5a5217ff92bfe164f1a09011b8ec356d5013fcfb012887c6340",
}
_AREAS = {"large": (9600, 17000), "medium": (1200, 7000), "small": (160, 900)}  # px^2, full shape
_MIN_VISIBLE = 0.5  # share of a shape that must stay in sight


class Scene(NamedTuple):
    """One image and what is on it."""

    pixels: np.ndarray  # uint8 [SIZE, SIZE, 3], RGB
    labels: list[int]  # category ids
    masks: list[np.ndarray]  # bool [SIZE, SIZE], visible part


def _propose(rng: np.random.Generator, scale: str) -> tuple[int, np.ndarray]:
    """A random shape of the given scale somewhere on the canvas: category id, mask."""
    name = shapes.NAMES[kind := int(rng.integers(len(shapes.NAMES)))]
    area = int(rng.integers(*_AREAS[scale]))
    side = min(round((area / shapes.fill_share(name)) ** 0.5), 200)
    reach = max(2, int(side * 0.4))
    centre = tuple(int(v) for v in rng.integers(reach, SIZE - reach, 2))
    return kind + 1, shapes.draw_mask(name, SIZE, centre, side, int(rng.integers(-25, 26)))


def draw_scene(split: str, index: int) -> Scene:
    """Render image `index` of a split; the same on every machine."""
    rng = np.random.default_rng([SEEDS[split], index])
    ground = rng.integers(50, 206, 3)
    canvas = shapes.texture(rng, SIZE, ground, int(rng.integers(15, 60)))
    large = int(rng.random() < 0.6)
    scales = ["large"] * large + ["medium"] * int(rng.integers(1, 4 - large))
    scales += ["small"] * int(rng.integers(1, 4))
    labels, masks, full = [], [], []
    for scale in scales:  # from the back
        for _ in range(8):
            label, mask = _propose(rng, scale)
            left = [m & ~mask for m in masks]
            if all(m.sum() >= _MIN_VISIBLE * a for m, a in zip(left, full, strict=True)):
                break
        else:
            continue  # no free place found: the image gets one shape fewer
        colour = rng.integers(20, 236, 3)
        if abs(colour - ground).max() < 60:  # keep shapes visible on their ground
            colour = np.where(ground > 127, colour // 3, 255 - (255 - colour) // 3)
        surface = shapes.texture(rng, SIZE, colour, int(rng.integers(5, 35)))
        canvas = np.where(mask[..., None], surface, canvas)
        masks = [*left, mask]
        labels.append(label)
        full.append(int(mask.sum()))
    lit = canvas * shapes.light(rng, SIZE)[..., None] // 256
    return Scene(np.clip(lit, 0, 255).astype(np.uint8), labels, masks)


def annotate(scene: Scene, image_id: int, first_id: int) -> list[dict]:
    """COCO annotations of a scene: box and area come from the visible mask."""
    annotations = []
    for number, (label, mask) in enumerate(zip(scene.labels, scene.masks, strict=True), first_id):
        encoded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
        place = {"id": number, "image_id": image_id, "category_id": label, "iscrowd": 0}
        place |= {"bbox": rle.toBbox(encoded).tolist(), "area": float(rle.area(encoded))}
        encoded["counts"] = encoded["counts"].decode("ascii")
        annotations.append(place | {"segmentation": encoded})
    return annotations


def write_coco(folder: Path, split: str, count: int, progress=iter) -> Path:
    """Write a split as a COCO folder; return its annotation file. QlabError: DIGESTS differ."""
    first = [draw_scene(split, index) for index in range(16)]
    told = [json.dumps(annotate(scene, i, 0), sort_keys=True) for i, scene in enumerate(first)]
    both = (s.pixels.tobytes() + text.encode() for s, text in zip(first, told, strict=True))
    shapes.check_drawn(f"mini_coco '{split}'", b"".join(both), DIGESTS[split])
    coco = {"images": [], "annotations": [], "categories": CATEGORIES, "licenses": []}
    coco["info"] = {"description": f"mini_coco {split}, seed {SEEDS[split]}", "version": "1"}
    (folder / split).mkdir(parents=True, exist_ok=True)
    for index in progress(range(count)):
        scene, name = draw_scene(split, index), f"{index:06d}.png"
        Image.fromarray(scene.pixels).save(folder / split / name, compress_level=1)
        coco["images"].append({"id": index, "file_name": name, "width": SIZE, "height": SIZE})
        coco["annotations"] += annotate(scene, index, len(coco["annotations"]) + 1)
    target = folder / "annotations" / f"instances_{split}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(coco))
    return target


def kept(split: str, count: int) -> Path:
    """The COCO folder of the first `count` images of a split, drawn only once."""
    recipe = {"split": split, "count": count, "code": code_sha256(__name__)}
    recipe["versions"] = versions("numpy", "pillow", "pycocotools")
    return artefact("mini_coco", recipe, lambda at: write_coco(at, split, count, bar("images")))
