"""COCO annotations and their photos: read, checked, and matched with pycocotools."""

import contextlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Annotated, NotRequired

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.images.photos import AsStored, header

# pandas and Windows write 1.0, "1" and NaN: accepted where exact, with NaN as nothing.
_NUMBER = Annotated[float, Field(allow_inf_nan=False, gt=-1e300, lt=1e300)]
_LENGTH = Annotated[_NUMBER, Field(ge=0)]
_NOTHING = BeforeValidator(lambda value: None if value != value else value)
_SIDE = NotRequired[Annotated[int | None, _NOTHING]]
# What is read from an instances_*.json; it may hold more, which is kept.
ENTRIES = {
    "images": {"id": int, "file_name": str, "width": _SIDE, "height": _SIDE},
    "categories": {"id": int, "name": str},
    "annotations": {
        "id": int,
        "image_id": int,
        "category_id": int,
        "bbox": tuple[_NUMBER, _NUMBER, _LENGTH, _LENGTH],  # x, y, width, height, pixels
        "area": NotRequired[Annotated[_LENGTH | None, _NOTHING]],
        "iscrowd": NotRequired[Annotated[Annotated[int, Field(ge=0, le=1)] | None, _NOTHING]],
    },
}
_open = with_config(ConfigDict(extra="allow", coerce_numbers_to_str=True))
_LISTS = {key: list[_open(TypedDict(key, fields))] for key, fields in ENTRIES.items()}
_DATASET = TypeAdapter(_open(TypedDict("_DATASET", _LISTS)))


def quiet_coco(dataset: dict) -> COCO:
    """Index annotations with pycocotools, without the messages that it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dataset
        coco.createIndex()
    return coco


def load_annotations(path: Path) -> COCO:
    """Read an instances_*.json. QlabError: no JSON, or the first entry that is not COCO's."""
    try:
        dataset = _DATASET.validate_python(json.loads(path.read_bytes()))  # UTF-8 or -16
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = " ".join(str(part) for part in first["loc"]) or "the file"
        raise QlabError(
            f"{path} is no COCO annotation file, at {place} (entries count from 0): "
            f"{first['msg']}; found {str(first['input'])[:80]}."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise QlabError(f"The annotations {path} cannot be read as JSON: {error}.") from error
    ids = {key: Counter(e["id"] for e in dataset[key]) for key in ENTRIES}
    for key, counts in ids.items():
        if (most := counts.most_common(1)) and most[0][1] > 1:
            raise QlabError(f"{path}: the id {most[0][0]} stands twice in '{key}'.")
    up = max(0, 1 - min(ids["annotations"], default=1))
    for key, whole in (("image_id", "images"), ("category_id", "categories")):
        if lost := [a for a in dataset["annotations"] if a[key] not in ids[whole]]:
            wrong = f"annotation {lost[0]['id']} has the {key} {lost[0][key]}"
            raise QlabError(f"{path}: {wrong}, which '{whole}' does not list.")
    for a in dataset["annotations"]:
        a["id"] += up  # pycocotools reads a match with annotation 0 as none
        a["bbox"] = list(a["bbox"])  # and takes no tuples
        a["iscrowd"] = a.get("iscrowd") or 0
        if a.get("area") is None:
            a["area"] = a["bbox"][2] * a["bbox"][3]
    return quiet_coco(dataset)


def image_paths(coco: COCO, ids: Sequence[int], folder: Path) -> dict[int, Path]:
    """The file of each image of the annotations; QlabError names the first that is missing."""
    names = {i: image["file_name"] for i, image in coco.imgs.items()}
    bare = Counter(PureWindowsPath(name).name for name in set(names.values()))
    found = {}
    for i in ids:
        windows = PureWindowsPath(names[i])  # reads slashes of both kinds
        # The bare name is tried only if no other photo has it.
        tried = [names[i], windows.as_posix(), *[windows.name][: bare[windows.name] == 1]]
        if there := [p for name in tried if (p := folder / name).is_file()]:
            found[i] = there[0]
    if missing := [names[i] for i in ids if i not in found]:
        those = f"{len(missing)} of the {len(ids)} annotated images, first {missing[0]}"
        raise QlabError(f"{folder} lacks {those}.")
    return found


def as_annotated(coco: COCO, found: dict[int, Path]) -> dict[int, Path]:
    """Photos by id; `AsStored` if their annotations ignore EXIF, as the stated width and height
    tell. If these do not tell (a square, a half turn, none stated), a photo is turned, as viewers
    do, unless all others that tell are as stored. QlabError: a stated size that is neither."""
    told: dict[int, bool | None] = {}  # is a photo with EXIF as stored? None: size does not tell
    for i, path in found.items():
        size, orientation = header(path)
        shown = size[::-1] if orientation > 4 else size  # quarter turns
        stated = tuple(coco.imgs[i].get(side) for side in ("width", "height"))
        if None not in stated and stated not in (size, shown):
            raise QlabError(
                f"The annotations say that {path.name} has {stated[0]} x {stated[1]} pixels, but "
                f"{path} has {shown[0]} x {shown[1]}: boxes would lie elsewhere. Give the photos "
                "that were annotated, or annotations of these."
            )
        if orientation > 1:
            told[i] = None if None in stated or size == shown else stated == size
    others = {*told.values()} - {None} == {True}
    stored = {i for i, one in told.items() if (others if one is None else one)}
    return {i: AsStored(p) if i in stored else p for i, p in found.items()}


def each_once(found: dict[int, Path], calibration: Iterable[Path] = ()) -> tuple[dict, list[str]]:
    """Photos by id, without copies (same bytes) or photos that calibrate; and notes about these."""
    used, kept, first = {file_sha256(path): path.name for path in calibration}, {}, {}
    left_out = {"copies of other photos": [], "photos that calibrate": []}
    for i, path in found.items():
        if (known := file_sha256(path)) in used:
            left_out["photos that calibrate"].append(used[known])
        elif known in first:
            left_out["copies of other photos"].append(f"{path.name} of {first[known]}")
        else:
            kept[i], first[known] = path, path.name
    said = "Left out as {}: {} of {}, such as {}."
    return kept, [said.format(k, len(n), len(found), n[0]) for k, n in left_out.items() if n]


def match(coco: COCO, results: list[dict], ids: Sequence[int], iou=0.0, overall=False) -> COCOeval:
    """Match detections on images `ids` to objects as COCO does, at one `iou` or at .50:.05:.95,
    with size classes or `overall`; the result is not accumulated yet."""
    wanted = set(ids)
    answers = [
        {**r, "id": i, "area": r["bbox"][2] * r["bbox"][3], "iscrowd": 0}
        for i, r in enumerate((r for r in results if r["image_id"] in wanted), 1)
    ]
    # Like pycocotools' loadRes, which fails if there is no detection at all.
    evaluation = COCOeval(coco, quiet_coco({**coco.dataset, "annotations": answers}), "bbox")
    params = evaluation.params
    params.imgIds = sorted(wanted)
    params.iouThrs = np.array([iou]) if iou else params.iouThrs
    params.areaRng = params.areaRng[:1] if overall else params.areaRng
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
    return evaluation


def found_objects(coco: COCO, results: list[dict], ids: Sequence[int], score: float) -> np.ndarray:
    """Which annotated objects, except crowds, have a detection of their category with at least
    `score` and an IoU of at least one half: bool [objects], in order of annotation id."""
    answers = [r for r in results if r["score"] >= score]
    found: dict[int, bool] = {}
    for e in filter(None, match(coco, answers, ids, 0.5, overall=True).evalImgs):
        hits = zip(e["gtIds"], e["gtMatches"][0] > 0, e["gtIgnore"], strict=True)
        found |= {gt: bool(hit) for gt, hit, ignored in hits if not ignored}
    return np.array([found[gt] for gt in sorted(found)], bool)
