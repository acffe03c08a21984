"""The data of notebook 03: a Keras classifier, and images to train, calibrate and test it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from qlab.classifier import folders, named, partial_qat
from qlab.classifier import model as keras_classifier
from qlab.classifier.fine_tune import Settings
from qlab.core import parameters
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.core.parameters import Count, Positive, Size
from qlab.files import fetch
from qlab.images import shapes32
from qlab.images.labelled import LabelledImages

# Images in each part, by profile; 0 means all that there are.
IMAGES = {
    "train": {"smoke": 256, "mini": 2048, "small": 9744, "full": 0},  # 9744: of CIFAR's first batch
    "calibration": {"smoke": 32, "mini": 256, "small": 256, "full": 256},
    "test": {"smoke": 200, "mini": 2000, "small": 0, "full": 0},
}
CALIBRATION = 256  # at most, where a data set has no images for calibration
# For published networks: with it the float control shows no loss (chosen on training images).
SOUND = Settings(1, 64, 3e-4, cosine=True, mirror=True, frozen=True)
TRAINING = {"smoke": Settings(1), "mini": Settings(2), "small": SOUND, "full": SOUND}
USUAL = {"small": "resnet20_cifar10", "full": named.TINY}  # else the first embedded one


class Parameters(parameters.Parameters):
    """The parameters of notebook 03.

    `model` is a name from `named`, or the path of a Keras 2 h5 file or SavedModel. `data` is a
    folder with CIFAR-10's batches, or with `train/` and `val/`, each with a folder of images per
    class. If left empty, they are the embedded ones or, in the profiles of USUAL, its model and
    CIFAR-10.
    """

    profile: Literal["smoke", "mini", "small", "full"] = "mini"
    model: str = ""
    data: str = ""
    sweep: Literal["short", "long"] = "short"
    seeds: Count = 0
    epochs: Count = 0
    rate: Size = 0.0
    train_limit: Count = 0
    limit: Count = 0
    leave_float: str = ""
    threads: Positive = 2
    seed: Count = 0


@dataclass(frozen=True)
class Task:
    """A classifier with the data that trains, calibrates and tests it."""

    model: str  # its name in the records
    dataset: str  # its name in the records
    file: Path  # Keras 2 h5, or SavedModel folder
    train: LabelledImages = field(repr=False)  # fine-tunes the model
    calibration: LabelledImages = field(repr=False)  # sets the ranges of activations
    test: LabelledImages = field(repr=False)  # tests the model; no image is in two of the three
    training: Settings  # how long and how fast
    given: Parameters = field(repr=False)  # as the notebook's cell has them
    leave_float: tuple[str, ...]  # names of layers that are not to be quantized
    place: str  # folder name of its records and figures
    notes: tuple[str, ...]  # sentences to tell the reader

    def settings(self) -> dict[str, Any]:
        """What the parameters resolved to, for the provenance."""
        return {
            **self.given.model_dump(exclude=parameters.PATHS),
            **self.training._asdict(),
            **{"model": self.model, "dataset": self.dataset},
            **{"training_images": len(self.train), "test_images": len(self.test)},
            "calibration_images": len(self.calibration),
        }

    def inputs(self) -> dict[str, str]:
        """sha256 of all inputs, for the provenance and the address of what is made from them."""
        parts = {name: getattr(self, name).sha256 for name in IMAGES}
        return {"model": file_sha256(self.file), **parts}


def prepare(given: Parameters) -> Task:
    """Build the task that `given` names. QlabError: model, data and layers do not fit together."""
    profile = given.profile
    name, file = named.found(given.model or USUAL.get(profile, named.EMBEDDED[0]))
    model = keras_classifier.load(file)
    *size, channels = model.input_shape[1:]
    data = _images(given, tuple(size))
    if channels == 1:
        data |= {part: data[part].grey() for part in IMAGES}
        data["notes"].append("Images were turned to grey.")
    wanted, dataset = (*model.input_shape[1:], model.output_shape[1]), data["dataset"]
    there = (*data["test"].images.shape[1:], len(data["test"].classes))
    if any(one not in (None, other) for one, other in zip(wanted, there, strict=True)):
        raise QlabError(
            f"{file} takes images of {wanted[:3]} and answers with {wanted[3]} classes; {dataset} "
            f"has images of {there[:3]} in {there[3]}. Give a model and data that belong together."
        )
    left = tuple(part.strip() for part in given.leave_float.split(",") if part.strip())
    known = [layer.name for layer in model.layers]
    if missing := [part for part in left if part not in known]:
        told = f"names the layer '{missing[0]}'; {file} has {', '.join(known)}."
        raise QlabError(f"The parameter 'leave_float' {told}")
    data |= {part: data[part].taken(slice(_limit(given, part) or None)) for part in IMAGES}
    training, images = TRAINING[profile], len(data["train"])
    if images < training.batch:
        raise QlabError(
            f"Fine-tuning takes {training.batch} images a step, and there are {images} to train "
            "on. Raise the parameter 'train_limit', or give more images."
        )
    changed = {k: v for k, v in {"epochs": given.epochs, "rate": given.rate}.items() if v}
    place = given.place(name, without=("sweep",) if profile in USUAL else ("sweep", "seeds"))
    place += "" if given.sweep == "short" else "-long"
    counted = (*partial_qat.WEIGHTED, partial_qat.kinds.BatchNormalization)
    other = [x for x in model.layers if x.weights and not isinstance(x, counted)]
    told = ", ".join(f"{x.name} ({type(x).__name__})" for x in other)
    notes = [f"Not counted, and left float, because tfmot does not know them: {told}."]
    notes = tuple(notes * bool(other) + data.pop("notes"))
    about = {"given": given, "leave_float": left, "place": place, "notes": notes}
    return Task(name, file=file, training=training._replace(**changed), **data, **about)


def _limit(given: Parameters, part: str) -> int:
    """Number of images in a part, from its parameter or else the profile; 0 means all there are."""
    own = {"train": given.train_limit, "test": given.limit}
    return own.get(part, 0) or IMAGES[part][given.profile]


def _images(given: Parameters, size: tuple[int, int]) -> dict[str, Any]:
    """Data fields of a `Task`, from shapes32 (as many as the profile has), a folder or CIFAR-10.

    In the latter two, the last training images, a quarter at most, calibrate and do not train;
    training images that are also test images are left out.
    """
    if not given.data and given.profile not in USUAL:
        parts = {name: shapes32.kept(name, count[given.profile]) for name, count in IMAGES.items()}
        return {"dataset": "shapes32", "notes": [], **parts}
    own = given.data and Path(given.data).expanduser()
    folder = own or fetch.get("cifar10")
    if (folder / "train").is_dir():
        few, judges = _limit(given, "train"), folders.judged(folder)
        few = few and few + CALIBRATION  # the last ones calibrate
        train = folders.classes(folder / "train", size, limit=few)
        # Shuffled, because some of it calibrates: any part of it is as balanced as the whole.
        train = train.taken(np.random.default_rng(0).permutation(len(train)))
        test = folders.classes(judges, size, train.classes, _limit(given, "test"))
        dataset, notes = folder.name, [f"The images of {judges.name}/ judge."]
    else:
        train, test = (folders.cifar10(folder, part) for part in ("train", "test"))
        dataset, notes = "cifar10", []
    kept = train.without(test)
    cut = len(kept) - min(CALIBRATION, len(kept) // 4)
    notes.append(f"Calibration images are the last {len(kept) - cut} training images.")
    if lost := len(train) - len(kept):
        notes.append(f"{lost} training images are test images too and were left out.")
    parts = {"train": kept.taken(slice(cut)), "calibration": kept.taken(slice(cut, None))}
    return {"dataset": dataset, "notes": notes, **parts, "test": test}
