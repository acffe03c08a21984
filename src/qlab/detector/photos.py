"""The photos that judge and calibrate: turned as their annotations are, and each only once."""

from collections.abc import Iterable
from pathlib import Path

from pycocotools.coco import COCO

from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.core.images import AsStored, header


def as_annotated(coco: COCO, found: dict[int, Path]) -> dict[int, Path]:
    """Photos by id, those `AsStored` whose annotations do not follow EXIF's orientation.

    Labelling tools turn a photo by EXIF, COCO's own do not: the stated width and height tell which.
    Where they do not (a square, a half turn, none stated), a photo is turned, as viewers do, unless
    all others that tell are as stored. QlabError: a stated size that is neither.
    """
    ways: dict[int, set[bool]] = {}  # whether a photo may be as stored, and may be turned
    for i, path in found.items():
        size, orientation = header(path)
        shown = size[::-1] if orientation > 4 else size  # quarter turns
        stated = tuple(coco.imgs[i].get(side) for side in ("width", "height"))
        fits = {way for way, s in ((True, size), (False, shown)) if None in stated or stated == s}
        if not fits:
            raise QlabError(
                f"The annotations say that {path.name} has {stated[0]} x {stated[1]} pixels, but "
                f"{path} has {shown[0]} x {shown[1]}: boxes would lie elsewhere. Give the photos "
                "that were annotated, or annotations of these."
            )
        if orientation > 1:
            ways[i] = fits
    telling = {way for fits in ways.values() if len(fits) == 1 for way in fits}
    stored = {i for i, fits in ways.items() if fits == {True} or fits > telling == {True}}
    return {i: AsStored(p) if i in stored else p for i, p in found.items()}


def each_once(
    found: dict[int, Path], calibration: Iterable[Path] = (), named: bool = True
) -> tuple[dict[int, Path], tuple[str, ...]]:
    """Photos by id without copies of an earlier one and those that calibrate, and what to tell.

    The same bytes are a copy, whatever their name. QlabError: one calibrates, and the user `named`
    the calibration images.
    """
    used = {file_sha256(path): path.name for path in calibration}
    kept, first, copies, both = {}, {}, [], []
    for i, path in found.items():
        if (known := file_sha256(path)) in used:
            both.append(used[known])
        elif known in first:
            copies.append(f"{path.name} of {first[known]}")
        else:
            kept[i], first[known] = path, path.name
    if both and named:
        raise QlabError(
            f"The calibration image {both[0]} is among the evaluation images too; "
            "give others with calibration_images, or none to have some held out."
        )
    told = [
        f"Left out as {why}: {len(names)} of {len(found)}, such as {names[0]}."
        for why, names in (("copies of other photos", copies), ("photos that calibrate", both))
        if names
    ]
    return kept, tuple(told)


def in_folder(folder: str | Path) -> list[Path]:
    """Image files of a folder by name."""
    kinds = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
    return sorted(p for p in Path(folder).expanduser().iterdir() if p.suffix.lower() in kinds)
