"""mini_coco is what it says: the same pixels everywhere, true COCO, disjoint splits."""

import numpy as np
from pycocotools import mask as rle

from qlab.core.images import read_image
from qlab.detector import coco, mini_coco


def test_pixels_are_those_of_every_machine_and_a_written_folder_is_true_coco(tmp_path):
    for split in mini_coco.SEEDS:  # which are compared with DIGESTS
        world = coco.load_annotations(mini_coco.write_coco(tmp_path, split, 6))
    paths = coco.image_paths(world, sorted(world.imgs), tmp_path / "val")
    for index, path in paths.items():
        scene = mini_coco.draw_scene("val", index)
        assert (read_image(path) == scene.pixels).all()
        entries = world.loadAnns(world.getAnnIds([index]))
        for entry, mask in zip(entries, scene.masks, strict=True):
            assert (rle.decode(entry["segmentation"]).astype(bool) == mask).all()
            assert entry["area"] == mask.sum()
            rows, columns = np.nonzero(mask)
            x, y, w, h = entry["bbox"]
            assert (x, y) == (columns.min(), rows.min())
            assert (x + w, y + h) == (columns.max() + 1, rows.max() + 1)


def test_splits_share_no_image_and_order_does_not_matter():
    pixels = {
        mini_coco.draw_scene(s, i).pixels.tobytes() for s in mini_coco.SEEDS for i in range(4)
    }
    assert len(pixels) == 12
    later = mini_coco.draw_scene("val", 3).pixels
    assert later.tobytes() in pixels
