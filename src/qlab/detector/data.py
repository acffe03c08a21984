"""What notebook 01 works on: a detector, images with truth, images to calibrate on."""

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from qlab.core import fetch, paths, place
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError, refuse_below_one, refuse_negative
from qlab.core.images import read_image
from qlab.detector import coco as coco_tools
from qlab.detector import embedded, saved_model
from qlab.detector.detect import Detector, resized

log = logging.getLogger(__name__)
# Images per profile; 0 means all that the annotations list.
EVALUATION = {"smoke": 24, "mini": 400, "full": 0}
CALIBRATION = {"smoke": 16, "mini": 100, "full": 100}  # images per profile
FULL_SIZE = 512  # pixels; the zoo's CenterNet takes any size, this is the one it was scored at


@dataclass(frozen=True)
class Task:
    """A detector with the data that judges and calibrates it; never the same image for both."""

    model: str  # its name in the records
    dataset: str  # its name in the records
    folder: Path  # SavedModel folder, or a ready .tflite file
    subpixel: Path | None  # the same network without transposed convolutions, where known
    size: int  # side of the square input, pixels
    coco: COCO  # annotations of the evaluation images
    images: dict[int, Path]  # evaluation images by id
    calibration: list[np.ndarray] = field(repr=False)  # uint8 [size, size, 3]
    place: str = ""  # folder name of its records and figures
    chosen: dict[str, int | str] = field(default_factory=dict)  # the parameters as given

    @property
    def ready(self) -> bool:
        """Whether the detector came as a .tflite file, to be evaluated as it is."""
        return self.folder.suffix == ".tflite"

    def settings(self) -> dict[str, int | str]:
        """What the parameters resolved to, for the provenance."""
        return {
            **{k: v for k, v in self.chosen.items() if k not in _PATHS},
            "model": self.model,
            "dataset": self.dataset,
            "input_size": self.size,
            "evaluation_images": len(self.images),
            "calibration_images": len(self.calibration),
        }

    def inputs(self) -> dict[str, str]:
        """sha256 of what went in, for the provenance."""
        calibration = hashlib.sha256(b"".join(i.tobytes() for i in self.calibration))
        return {
            "model": file_sha256(self.folder),
            "annotations": place.hash_json(self.coco.dataset),
            "images": place.hash_json([file_sha256(p) for p in self.images.values()]),
            "calibration": calibration.hexdigest(),
        }


_PATHS = ("model", "annotations", "images", "calibration_images")
_DEFAULTS = {"split": "val", "threads": 2}


def prepare(
    profile: str,
    model: str = "",
    annotations: str = "",
    images: str = "",
    split: str = "val",
    calibration_images: str = "",
    limit: int = 0,
    calibration_limit: int = 0,
    input_size: int = 0,
    threads: int = 2,
    seed: int = 0,
) -> Task:
    """Resolve the parameters of notebook 01 into a checked task.

    Empty paths mean the profile's own: the embedded model and mini_coco, or,
    for `full`, CenterNet ResNet50-v2 512 and COCO val2017 (from QLAB_DATA if it
    has them, else downloaded). Without `calibration_images`, images of one's
    own are split: the first `calibration_limit` calibrate and are not evaluated.
    QlabError: annotations without images or the reverse, no image left, an image in both sets.
    """
    numbers = {"limit": limit, "calibration_limit": calibration_limit, "input_size": input_size}
    refuse_negative(**numbers, seed=seed)
    refuse_below_one(threads=threads)
    limit_asked, limit = limit, limit or EVALUATION[profile]
    asked, calibration_limit = calibration_limit, calibration_limit or CALIBRATION[profile]
    own_model, own_data = bool(model) or profile == "full", bool(annotations) or profile == "full"
    if bool(annotations) != bool(images):
        raise QlabError("The parameters 'annotations' and 'images' come together; one is empty.")
    folder = Path(model).expanduser() if model else _default_model(profile)
    known = 0 if model or not own_model else FULL_SIZE
    size = _size(folder, input_size or known)
    if own_data:
        truth, pictures = (
            (Path(annotations).expanduser(), Path(images).expanduser())
            if annotations
            else _coco(split)
        )
        name = f"coco_{truth.stem.removeprefix('instances_')}"
    else:
        root = embedded.mini_coco_folder(split, limit)
        truth, pictures = root / "annotations" / f"instances_{split}.json", root / split
        name = "mini_coco" if split == "val" else f"mini_coco_{split}"
    coco = coco_tools.load_annotations(truth)
    ids = sorted(coco.imgs)
    if calibration_images:
        files = sorted(_image_files(Path(calibration_images).expanduser()))[:calibration_limit]
    elif not annotations and own_data and (train := _coco_train()):
        files = sorted(_image_files(train))[:calibration_limit]
    elif folder.suffix == ".tflite":
        files = []  # quantized already: nothing to calibrate
    elif own_data:
        # Unless a number was asked for, at least three quarters stay for evaluation.
        count = asked or min(calibration_limit, len(ids) // 4)
        held_out, ids = ids[:count], ids[count:]
        files = list(coco_tools.image_paths(coco, held_out, pictures).values())
        log.warning(
            "No calibration_images given: the first %d images calibrate, the other %d evaluate.",
            len(held_out),
            len(ids),
        )
    else:
        root = embedded.mini_coco_folder("calibration", calibration_limit)
        files = sorted((root / "calibration").glob("*.png"))
    ids = ids[:limit] if limit else ids
    if not ids:
        raise QlabError(f"No image is left to evaluate: {truth} lists {len(coco.imgs)}.")
    found = coco_tools.image_paths(coco, ids, pictures)
    _refuse_overlap(files, found.values())
    subject = "centernet_mini" if not own_model else _model_name(folder, bool(model))
    chosen = {
        "model": model, "annotations": annotations, "images": images, "split": split,
        "calibration_images": calibration_images, "limit": limit_asked,
        "calibration_limit": asked, "input_size": input_size, "threads": threads, "seed": seed,
    }  # fmt: skip
    return Task(
        model=subject,
        dataset=name,
        place=place.place(profile, subject, chosen, _DEFAULTS),
        chosen={"profile": profile, **chosen},
        folder=folder,
        subpixel=None if own_model else embedded.centernet_saved_model("subpixel"),
        size=size,
        coco=coco,
        images=found,
        calibration=[resized(read_image(f), size) for f in files],
    )


def _model_name(folder: Path, given: bool) -> str:
    if not given:
        return "centernet_r50v2_512"
    return folder.parent.name if folder.name == "saved_model" else folder.stem


def _default_model(profile: str) -> Path:
    if profile == "full":
        return fetch.centernet_r50v2_512()
    return embedded.centernet_saved_model()


def _coco(split: str) -> tuple[Path, Path]:
    """COCO's 2017 split from QLAB_DATA in COCO's own layout; `val` is downloaded if need be."""
    if root := paths.real_data():
        truth = root / "coco" / "annotations" / f"instances_{split}2017.json"
        if truth.is_file():
            return truth, root / "coco" / f"{split}2017"
    if split != "val":
        raise QlabError(
            f"COCO {split}2017 is not downloaded by qlab (it has 18 GB); put it into a folder in "
            "COCO's layout and name that folder by QLAB_DATA, or pass annotations and images."
        )
    return fetch.coco_val2017()


def _coco_train() -> Path | None:
    """COCO's training images under QLAB_DATA, the proper place to calibrate from, if there."""
    folder = (paths.real_data() or Path()) / "coco" / "train2017"
    return folder if paths.real_data() and folder.is_dir() else None


def _size(folder: Path, asked: int) -> int:
    """The side at which a detector runs: the asked one, or its own; the model is checked first."""
    if folder.suffix == ".tflite":
        own = Detector(folder, 1).size
    else:
        own = saved_model.own_size(saved_model.load(folder))
    if own and asked and own != asked:
        raise QlabError(
            f"{folder} is fixed to {own} pixels; the parameter 'input_size' asks for {asked}."
        )
    if not (own or asked):
        raise QlabError(
            f"{folder} takes images of any size; say at which side in pixels to run it with the "
            "parameter 'input_size' (512 for CenterNet ResNet50-v2 512x512)."
        )
    return own or asked


def _image_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise QlabError(f"There is no folder with calibration images at {folder}.")
    kinds = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
    return [p for p in folder.iterdir() if p.suffix.lower() in kinds]


def _refuse_overlap(calibration: list[Path], evaluation) -> None:
    """Calibration data never meets evaluation data, whatever the files are called."""
    seen = {file_sha256(p) for p in evaluation}
    for path in calibration:
        if file_sha256(path) in seen:
            raise QlabError(
                f"The calibration image {path.name} is among the evaluation images too; "
                "give others with calibration_images, or none to have some held out."
            )
