"""The drawing primitives of the embedded images: ten shapes, textures, light.

Every result is in integers (Pillow's and numpy's), which are the same on every machine.
"""

import hashlib
import math

import numpy as np
from PIL import Image, ImageDraw

from qlab.core.errors import QlabError

Points = list[tuple[float, float]]  # corners, x and y


def _regular(n: int, start: float = -90.0, radius: float = 1.0) -> Points:
    """The n corners of a regular polygon, the first at `start` degrees."""
    angles = [math.radians(start + 360.0 * i / n) for i in range(n)]
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]


def _heart() -> Points:
    def height(a: float, cos=math.cos) -> float:
        return -(13 * cos(a) - 5 * cos(2 * a) - 2 * cos(3 * a) - cos(4 * a)) / 17

    return [(math.sin(a) ** 3, height(a)) for a in (2 * math.pi * i / 48 for i in range(48))]


def _cross(a: float = 0.36) -> Points:
    right = [(a, -1.0), (a, -a), (1.0, -a)]
    down = [(-y, x) for x, y in right]
    return [*right, *down, *([(-x, -y) for x, y in right + down])]


_DISK = _regular(64)
_STAR = zip(_regular(5), _regular(5, start=-54.0, radius=0.45), strict=True)  # tips and dents
# Each shape's outline and, if it has one, the hole, in the square [-1, 1]^2, y downwards.
OUTLINES: dict[str, list[Points]] = {
    "disk": [_DISK],
    "square": [[(-1, -1), (1, -1), (1, 1), (-1, 1)]],
    "triangle": [_regular(3)],
    "star": [[point for pair in _STAR for point in pair]],
    "cross": [_cross()],
    "ring": [_DISK, _regular(64, radius=0.55)],
    "crescent": [_DISK, [(x * 0.85 + 0.5, y * 0.85) for x, y in _DISK]],
    "arrow": [[(-1, -0.3), (0, -0.3), (0, -0.9), (1, 0), (0, 0.9), (0, 0.3), (-1, 0.3)]],
    "hourglass": [[(-0.8, -1), (0.8, -1), (0.15, 0), (0.8, 1), (-0.8, 1), (-0.15, 0)]],
    "heart": [_heart()],
}
NAMES = list(OUTLINES)  # names of the ten shapes, in the order of their labels


def draw_mask(name: str, size: int, centre: tuple[int, int], side: int, degrees: int) -> np.ndarray:
    """One shape as bool [size, size], cut off at the edges; `side` is the length of its reference
    square in pixels, and `degrees` turns it clockwise."""
    cos, sin, half = math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), side / 2
    canvas = Image.new("L", (size, size), 0)
    for outline, fill in zip(OUTLINES[name], (255, 0), strict=False):
        turned = [(x * cos - y * sin, x * sin + y * cos) for x, y in outline]
        placed = [(round(centre[0] + half * x), round(centre[1] + half * y)) for x, y in turned]
        ImageDraw.Draw(canvas).polygon(placed, fill=fill)
    return np.asarray(canvas) > 0


def fill_share(name: str) -> float:
    """Share of the reference square, 0 to 1, that the upright shape covers."""
    return float(draw_mask(name, 256, (128, 128), 200, 0).sum()) / 200**2


def _blobs(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    grid = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
    return np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC))


def _stripes(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    dx, dy = (int(v) for v in rng.integers(-3, 4, 2))
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    period = max(4, size // cells)
    phase = (dx * x + dy * y) % (2 * period)
    return np.where(phase < period, 60, 190).astype(np.uint8)


def _checks(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    places = np.arange(size) // max(4, size // cells)
    return np.where((places + places[:, None]) % 2, 70, 180).astype(np.uint8)


_TEXTURES = (_blobs, _blobs, _stripes, _checks)  # blobs twice as often


def texture(rng: np.random.Generator, size: int, colour: np.ndarray, depth: int) -> np.ndarray:
    """A patterned surface in an RGB colour 0..255: int32 [size, size, 3], not yet clipped; the
    pattern shifts the colour by at most `depth` grey levels."""
    draw = _TEXTURES[int(rng.integers(len(_TEXTURES)))]
    pattern = draw(rng, size, int(rng.integers(3, 14))).astype(np.int32)
    grain = rng.integers(-8, 9, (size, size), dtype=np.int32)
    return colour.astype(np.int32) + ((pattern - 128) * depth // 128 + grain)[..., None]


def light(rng: np.random.Generator, size: int) -> np.ndarray:
    """A linear gradient of illumination, in 256ths: int32 [size, size], about 150..330."""
    gx, gy = (int(v) for v in rng.integers(-60, 61, 2))
    level = int(rng.integers(200, 290))
    x, y = np.meshgrid(np.arange(size) - size // 2, np.arange(size) - size // 2)
    return np.clip(level + (gx * x + gy * y) // size, 110, 340).astype(np.int32)


def check_drawn(what: str, content: bytes, known: str) -> None:
    """Raise QlabError if `content`, the first items drawn from a seed, hashes to another sha256
    than on the machines that this project's numbers come from."""
    if hashlib.sha256(content).hexdigest() != known:
        raise QlabError(
            f"{what} came out different here (its first items hash to another sha256); install the "
            "exact versions of requirements.lock: Python, Pillow and numpy draw it."
        )
