"""`shapes32`: a small classification data set, rendered from a split's seed and an image's index.

Every 32x32 image shows one of ten shapes, turned and placed at random on a textured ground, with
smaller shapes behind it, usually one in front of it, uneven light and noise. The label is that of
the largest shape.
"""

from pathlib import Path

import numpy as np

from qlab.core.cache import artefact, code_sha256, versions
from qlab.core.progress import bar
from qlab.images import shapes
from qlab.images.labelled import LabelledImages

SIZE = 32  # pixels, width and height
CLASSES = tuple(shapes.NAMES)  # names, by label
SEEDS = {"train": 44, "calibration": 55, "test": 66}  # of the splits
COUNTS = {"train": 20000, "calibration": 512, "test": 2000}  # images of the splits
# sha256 over the pixels and labels of the first 64 images of each split.
DIGESTS = {
    "train": "c71098cae5be0c0e21ec8493819cb50ea02e67f29922d75364a3a4637ef509ac",
    "calibration": "85267fce6d1e0ca3a172490fa00693248f4614a2cb34a7bffcc14125b453aa26",
    "test": "975cc01c65619272ebbcf3ba6442d1237ee63fd1c1336956c189132d494ae949",
}

_FINE = 2 * SIZE  # drawn at twice the size and averaged, so that edges are soft
_SIDES = (24, 50)  # of the shape that counts, in fine pixels
_SMALL_SIDES = (8, 17)  # of those behind and in front of it
_TURN = 180  # degrees, to either side
_MIN_VISIBLE = 0.75  # share of the shape that must stay visible
_CONTRAST = 50  # grey levels, in at least one channel, between the shape and its ground


def _mask(rng: np.random.Generator, name: str, sides: tuple[int, int]) -> np.ndarray:
    """A shape of random size, position and rotation: bool [_FINE, _FINE]."""
    side = int(rng.integers(*sides))
    reach = side * 9 // 20
    centre = tuple(int(v) for v in rng.integers(reach, _FINE - reach, 2))
    return shapes.draw_mask(name, _FINE, centre, side, int(rng.integers(-_TURN, _TURN + 1)))


def _small(rng: np.random.Generator) -> np.ndarray:
    return _mask(rng, CLASSES[int(rng.integers(len(CLASSES)))], _SMALL_SIDES)


def _colour(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """An RGB colour that stands out from the ground's by `_CONTRAST`."""
    while abs((colour := rng.integers(20, 236, 3)) - ground).max() < _CONTRAST:
        pass
    return colour


def _noise(rng: np.random.Generator) -> np.ndarray:
    """Noise from three dice per channel, close to normal: int32 [SIZE, SIZE, 3]. In integers,
    because numpy's normal numbers depend on the machine's exp and log."""
    reach = int(rng.integers(2, 20))
    return rng.integers(-reach, reach + 1, (3, SIZE, SIZE, 3), np.int32).sum(0, np.int32)


def _scene(rng: np.random.Generator, label: int) -> np.ndarray:
    """Ground, plain shapes behind, the shape, perhaps one in front: int32 [_FINE, _FINE, 3]."""
    ground = rng.integers(40, 216, 3)
    canvas = shapes.texture(rng, _FINE, ground, int(rng.integers(10, 58)))
    for _ in range(int(rng.integers(1, 4))):
        canvas[_small(rng)] = rng.integers(20, 236, 3)
    mask = _mask(rng, CLASSES[label], _SIDES)
    surface = shapes.texture(rng, _FINE, _colour(rng, ground), int(rng.integers(5, 38)))
    canvas[mask] = surface[mask]
    before = _small(rng)
    if (mask & ~before).sum() >= _MIN_VISIBLE * mask.sum():
        canvas[before] = rng.integers(20, 236, 3)
    return canvas


def draw(split: str, index: int) -> tuple[np.ndarray, int]:
    """Image `index` of a split, uint8 [32, 32, 3] RGB, and its label; the same on every machine."""
    rng = np.random.default_rng([SEEDS[split], index])
    label = int(rng.integers(len(CLASSES)))
    lit = _scene(rng, label) * shapes.light(rng, _FINE)[..., None] // 256
    halved = lit.reshape(SIZE, 2, SIZE, 2, 3).sum((1, 3), np.int32) // 4
    return np.clip(halved + _noise(rng), 0, 255).astype(np.uint8), label


def load(split: str, count: int, progress=iter) -> LabelledImages:
    """The first `count` images of a split; QlabError on a machine that draws other pixels."""
    made = [draw(split, index) for index in progress(range(max(count, 64)))]
    told = [image.tobytes() for image, _ in made[:64]] + [bytes(label for _, label in made[:64])]
    shapes.check_drawn(f"shapes32 '{split}'", b"".join(told), DIGESTS[split])
    images, labels = zip(*made[:count], strict=True)
    return LabelledImages(np.stack(images), np.array(labels, np.int64), CLASSES)


def kept(split: str, count: int) -> LabelledImages:
    """The images of `load`, drawn once and cached."""
    recipe = {"split": split, "count": count, "code": code_sha256(__name__)}
    recipe["versions"] = versions("numpy", "pillow")

    def make(folder: Path) -> None:
        made = load(split, count, bar("images"))
        np.savez(folder / "drawn.npz", images=made.images, labels=made.labels)

    with np.load(artefact("shapes32", recipe, make) / "drawn.npz") as stored:
        return LabelledImages(stored["images"], stored["labels"], CLASSES)
