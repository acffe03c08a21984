"""The data of notebook 01: a detector, annotated images, and images to calibrate on."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pycocotools.coco import COCO

from qlab.core import parameters, paths
from qlab.core.cache import file_sha256, hash_json
from qlab.core.errors import QlabError
from qlab.core.parameters import Count, Positive
from qlab.detector import centernet, mini_coco, published, quantize, tfjs
from qlab.detector import coco as coco_tools
from qlab.detector.detect import Detector, Size, resized
from qlab.files import fetch
from qlab.images.photos import read_image

# Images per profile; 0 means all that the annotations list.
EVALUATION = {"smoke": 24, "mini": 400, "small": 0, "full": 0}
CALIBRATION = {"smoke": 16, "mini": 100, "small": 60, "full": 100}  # images per profile
# Models of the profiles that use COCO's photos; records name them after these functions.
PUBLISHED = {"small": published.centernet_mobilenetv3_512, "full": published.centernet_r50v2_512}
FULL_SIZE = 512  # pixels; the zoo's CenterNet takes any size and was scored at this one


class Parameters(parameters.Parameters):
    """The parameters of notebook 01; its cell says what they mean."""

    profile: Literal["smoke", "mini", "small", "full"] = "mini"
    model: str = ""
    annotations: str = ""
    images: str = ""
    split: Literal["val", "train"] = "val"
    calibration_images: str = ""
    limit: Count = 0
    calibration_limit: Count = 0
    input_size: Count = 0
    threads: Positive = 2
    seed: Count = 0


@dataclass(frozen=True)
class Task:
    """A detector with the data that tests and calibrates it; no image does both."""

    given: Parameters  # as the notebook's cell has them
    model: str  # its name in the records
    dataset: str  # its name in the records
    folder: Path  # SavedModel folder, or a ready .tflite file
    subpixel: Path | None  # the same network without transposed convolutions, where known
    size: Size  # of the input, pixels
    coco: COCO  # annotations of the evaluation images
    images: dict[int, Path]  # evaluation images by id
    calibration: list[np.ndarray] = field(repr=False)  # uint8 [*size, 3]
    notes: tuple[str, ...] = ()  # sentences to tell the reader

    @property
    def place(self) -> str:
        """Folder name of its records and figures."""
        return self.given.place(self.model)

    @property
    def ready(self) -> bool:
        """Whether the detector came as a .tflite file, to be evaluated as it is."""
        return self.folder.suffix == ".tflite"

    @property
    def told(self) -> str:
        """What a figure is about, for its title."""
        return f"{self.model}, {self.dataset}, {len(self.images)} images"

    def settings(self) -> dict[str, Any]:
        """Parameters as used, for the provenance."""
        return {
            **self.given.model_dump(exclude=parameters.PATHS),
            "model": self.model,
            "dataset": self.dataset,
            "input_size": min(self.size) if len({*self.size}) == 1 else list(self.size),
            "evaluation_images": len(self.images),
            "calibration_images": len(self.calibration),
        }

    def inputs(self) -> dict[str, str]:
        """sha256 of all inputs, for the provenance."""
        calibration = b"".join(image.tobytes() for image in self.calibration)
        return {
            "model": file_sha256(self.folder),
            "annotations": hash_json(self.coco.dataset),
            "images": hash_json([file_sha256(p) for p in self.images.values()]),
            "calibration": hashlib.sha256(calibration).hexdigest(),
        }


def prepare(given: Parameters) -> Task:
    """Resolve the parameters of notebook 01 into a checked task; empty paths mean the profile's
    own. QlabError: images or annotations alone, no image or no object left to judge."""
    if bool(given.annotations) != bool(given.images):
        raise QlabError("The parameters 'annotations' and 'images' come together; one is empty.")
    limit = given.limit or EVALUATION[given.profile]
    model, folder, twin, known = _model(given)
    size = _size(folder, given.input_size or known)
    dataset, annotations, pictures = _evaluation(given, limit)
    coco = coco_tools.load_annotations(annotations)
    files, ids, notes = _calibration(given, folder.suffix == ".tflite"), sorted(coco.imgs), []
    if files is None:  # unless a number was asked for, at least three quarters stay for evaluation
        count = given.calibration_limit or min(CALIBRATION[given.profile], len(ids) // 4)
        files = [*coco_tools.image_paths(coco, ids[:count], pictures).values()]
        ids = ids[count:]
        told = f"the first {len(files)} images calibrate, the other {len(ids)} may evaluate"
        notes.append(f"No calibration_images given: {told}.")
    if not files and folder.suffix != ".tflite":
        raise QlabError(
            "There is no image to calibrate on: name a folder of some by the parameter "
            "'calibration_images', or give at least four to evaluate."
        )
    # Some of train2017 calibrate, and are left out of the evaluation.
    ids = ids[: limit and limit + len(files) * (dataset == "coco_train2017") or None]
    found = coco_tools.image_paths(coco, ids, pictures)
    found, left_out = coco_tools.each_once(found, files)
    found = {i: found[i] for i in [*found][: limit or None]}
    if not (found and coco.getAnnIds([*found], iscrowd=0)):
        raise QlabError(
            f"The {len(found)} images left to evaluate have no object in {annotations}: there is "
            "no precision to state. Raise the parameter 'limit', or give other annotations."
        )
    if dataset == "coco_val2017" and len(coco.imgs) < 5000:
        notes.append(f"The annotations list {len(coco.imgs)} of the 5,000 of val2017.")
    images, notes = coco_tools.as_annotated(coco, found), (*notes, *left_out)
    calibration = [resized(read_image(f), size) for f in files]
    return Task(given, model, dataset, folder, twin, size, coco, images, calibration, notes)


def _model(given: Parameters) -> tuple[str, Path, Path | None, int]:
    """Name in the records, folder, the twin's folder if any, and side in pixels (0: not known)."""
    if given.model:
        at = Path(given.model).expanduser()
        folder = at.parent if at.suffix == ".json" else at
        name = folder.parent.name if folder.name in ("saved_model", "tfjs") else folder.stem
        return name, tfjs.opened(at), None, 0
    if given.profile in PUBLISHED:
        fetched = PUBLISHED[given.profile]
        return fetched.__name__, tfjs.opened(fetched()), None, FULL_SIZE
    return "centernet_mini", centernet.saved_model(), centernet.saved_model(subpixel=True), 0


def _evaluation(given: Parameters, limit: int) -> tuple[str, Path, Path]:
    """Name in the records, annotation file and folder of the evaluation images."""
    split = given.split
    if given.annotations:
        truth, pictures = Path(given.annotations).expanduser(), Path(given.images).expanduser()
    elif given.profile not in PUBLISHED:
        root, name = mini_coco.kept(split, limit), "mini_coco" + "_train" * (split == "train")
        return name, root / "annotations" / f"instances_{split}.json", root / split
    elif split == "val":
        truth, pictures = fetch.get("coco_annotations"), fetch.get("coco_val2017")
    elif truth := paths.local("coco/annotations/instances_train2017.json"):
        pictures = truth.parents[1] / "train2017"
    else:
        raise QlabError(
            "COCO train2017 is not downloaded by qlab (it has 18 GB); name a folder in COCO's "
            "layout by QLAB_DATA, or pass annotations and images."
        )
    return f"coco_{truth.stem.removeprefix('instances_')}", truth, pictures


def _calibration(given: Parameters, ready: bool) -> list[Path] | None:
    """Files to calibrate on; None if some of the evaluation images are to be held out for it."""
    limit = given.calibration_limit or CALIBRATION[given.profile]
    folder = given.calibration_images
    if not folder and (ready or given.annotations):
        return [] if ready else None
    if not folder and given.profile == "small":
        rows = (paths.home() / "data" / "coco_calibration.csv").read_text().split()[1:]
        listed = [row.split(",") for row in rows[:limit]]
        return published.coco_train2017({f"{int(i):012}.jpg": known for i, known in listed})
    if not folder and given.profile == "full":  # the proper place to calibrate from
        folder = paths.local("coco/train2017")
        if folder is None:
            return None
    folder = Path(folder or mini_coco.kept("calibration", limit) / "calibration").expanduser()
    kinds = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in kinds)[:limit]


def _size(folder: Path, asked: int) -> Size:
    """The size at which a detector runs: the side asked for, or its own; checks the model first."""
    ready = folder.suffix == ".tflite"
    own = Detector(folder, 1).size if ready else quantize.own_size(quantize.load(folder))
    if (asked and {*own} - {asked, None}) or (None in own and not asked):
        raise QlabError(
            f"{folder} takes images of {' x '.join(str(side or 'any') for side in own)} pixels "
            f"(height x width), and the parameter 'input_size' asks for {asked or 'none'}: give "
            "the side at which it runs (512 for CenterNet ResNet50-v2 512x512), or 0 for its own."
        )
    return Size(*(side or asked for side in own))
