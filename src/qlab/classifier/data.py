"""What notebook 03 works on: a Keras classifier; images that train, calibrate and judge it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from qlab.classifier import checkpoints, cifar10, image_folder, partial_qat, toys
from qlab.classifier import model as keras_classifier
from qlab.classifier.fine_tune import Settings
from qlab.core import embedded, fetch, parameters, paths, shapes32
from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.errors import QlabError
from qlab.core.labelled_images import LabelledImages
from qlab.core.parameters import Count, Positive, Size

# Images per profile; 0 means all there are.
TRAIN = {"smoke": 256, "mini": 2048, "small": 9744, "full": 0}  # 9744: of CIFAR's first batch
CALIBRATION = {"smoke": 32, "mini": 256, "small": 256, "full": 256}
TEST = {"smoke": 200, "mini": 2000, "small": 0, "full": 0}
# Of published networks: with it the float control loses nothing (chosen on training images).
SOUND = Settings(1, 64, 3e-4, cosine=True, mirror=True, frozen=True)
TRAINING = {"smoke": Settings(1), "mini": Settings(2), "small": SOUND, "full": SOUND}
EMBEDDED = ("resnet8_shapes32", "resnet20_shapes32")
TOYS = {"toy_mlp": "mlp", "toy_cnn": "cnn"}  # the midterm's: the names in `toys`
TOY_SIZE, TOY_EPOCHS = (32, 32), 10
# Published classifiers of CIFAR-10, by the names that `model` takes: files below QLAB_DATA.
PUBLISHED = {
    "resnet20_cifar10": "cifar_resnet/resnet20_cifar10.h5",
    "resnet32_cifar10": "cifar_resnet/resnet32_cifar10.h5",
    "mlperf_tiny_resnet8": "mlperf_tiny/pretrainedResnet.h5",
}
USUAL = {"small": "resnet20_cifar10", "full": "mlperf_tiny_resnet8"}  # else EMBEDDED's first
MLPERF_TINY = (
    "https://github.com/mlcommons/tiny/raw/master/benchmark/training/image_classification/"
    "trained_models/pretrainedResnet.h5",
    "sha256:5f938a8eea605438cc7360aa13c987bc6d7bd0c8d931b2917361ae7ae4eeda2f",
)


class Parameters(parameters.Parameters):
    """Those of notebook 03.

    `model` is an embedded or a PUBLISHED model's name, the path of a Keras 2 h5 file or SavedModel,
    `ResNet50` or `ResNet50V2` with ImageNet weights, or one of the midterm's toy networks,
    `toy_mlp` or `toy_cnn`, which are first trained on the training images. `data` is a folder with
    CIFAR-10's batches, or with `train/` and `val/`, each with a folder of images per class. Left
    empty they are the embedded ResNet-8 and shapes32, or a model of USUAL and CIFAR-10, from
    QLAB_DATA or downloaded. `leave_float` names layers, with commas between.
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


class Split(NamedTuple):
    """A data set in three parts; no image is in two of them."""

    dataset: str  # its name in the records
    train: LabelledImages  # fine-tunes
    calibration: LabelledImages  # sets the ranges of activations
    test: LabelledImages  # judges
    notes: tuple[str, ...] = ()  # sentences to tell the reader

    def grey(self) -> "Split":
        """The same, all images in grey."""
        parts = (part.grey() for part in self[1:4])
        return Split(self.dataset, *parts, (*self.notes, "Images were turned to grey."))


@dataclass(frozen=True)
class Task:
    """A classifier with the data that trains, calibrates and judges it; no image is in two."""

    model: str  # its name in the records
    dataset: str  # its name in the records
    file: Path  # Keras 2 h5, or SavedModel folder
    train: LabelledImages = field(repr=False)  # fine-tunes
    calibration: LabelledImages = field(repr=False)  # sets the ranges of activations
    test: LabelledImages = field(repr=False)  # judges
    training: Settings  # how long and how fast
    given: Parameters = field(repr=False)  # the parameters
    leave_float: tuple[str, ...] = ()  # names of layers that are not to be quantized
    place: str = ""  # folder name of its records and figures
    notes: tuple[str, ...] = ()  # sentences to tell the reader

    def load(self, raw: bool = False):
        """The Keras model, fresh from its file; `raw`: with its poolings as they are there."""
        return keras_classifier.load(self.file, raw)

    def settings(self) -> dict[str, Any]:
        """What the parameters resolved to, for the provenance."""
        return {
            **self.given.model_dump(exclude=parameters.PATHS),
            **self.training._asdict(),
            "model": self.model,
            "dataset": self.dataset,
            "training_images": len(self.train),
            "calibration_images": len(self.calibration),
            "test_images": len(self.test),
        }

    def inputs(self) -> dict[str, str]:
        """sha256 of what went in, for the provenance and for the address of what is made of it."""
        parts = {"train": self.train, "calibration": self.calibration, "test": self.test}
        hashes = {name: part.sha256 for name, part in parts.items()}
        return {"model": file_sha256(self.file), **hashes}


def prepare(given: Parameters) -> Task:
    """The task that the parameters name, checked.

    QlabError: a layer that is not there, a model and data of different classes.
    """
    profile, data = given.profile, None
    if given.model in TOYS:  # trained on the images, so these come first
        data = _images(given, TOY_SIZE)
        name, file = given.model, _toy(given.model, data.train)
    else:
        name, file = _model(given.model, profile)
    model = keras_classifier.load(file)
    *size, channels = model.input_shape[1:]
    data = data or _images(given, tuple(size))
    if channels == 1:
        data = data.grey()
    if model.output_shape[1] != len(data.test.classes):
        raise QlabError(
            f"{file} answers with {model.output_shape[1]} classes; {data.dataset} has "
            f"{len(data.test.classes)}. Give a model and data that belong together."
        )
    left = tuple(part.strip() for part in given.leave_float.split(",") if part.strip())
    known = [layer.name for layer in model.layers]
    if missing := [part for part in left if part not in known]:
        raise QlabError(
            f"The parameter 'leave_float' names the layer '{missing[0]}'; {file} has "
            f"{', '.join(known)}."
        )
    known = (*partial_qat.WEIGHTED, partial_qat.kinds.BatchNormalization)
    if other := [x for x in model.layers if x.weights and not isinstance(x, known)]:
        told = ", ".join(f"{x.name} ({type(x).__name__})" for x in other)
        notes = (f"Not counted, and left float, because tfmot does not know them: {told}.",)
    else:
        notes = ()
    unused = ("sweep",) if profile in USUAL else ("sweep", "seeds")
    place, training = given.place(name, without=unused), TRAINING[profile]
    train = _limited(data.train, given.train_limit or TRAIN[profile])
    if len(train) < training.batch:
        raise QlabError(
            f"Fine-tuning takes {training.batch} images a step, and there are {len(train)} to "
            "train on. Raise the parameter 'train_limit', or give more images."
        )
    return Task(
        model=name,
        dataset=data.dataset,
        file=file,
        train=train,
        calibration=_limited(data.calibration, CALIBRATION[profile]),
        test=_limited(data.test, given.limit or TEST[profile]),
        training=training._replace(
            epochs=given.epochs or training.epochs, rate=given.rate or training.rate
        ),
        given=given,
        leave_float=left,
        place=place if given.sweep == "short" else f"{place}-long",
        notes=(*notes, *data.notes),
    )


def _limited(data: LabelledImages, limit: int) -> LabelledImages:
    return data.first(min(limit, len(data))) if limit else data


def _model(model: str, profile: str) -> tuple[str, Path]:
    """Name and file of the classifier."""
    model = model or USUAL.get(profile, EMBEDDED[0])
    if model in PUBLISHED:
        return model, _local(PUBLISHED[model]) or _downloaded(model)
    if model in EMBEDDED:
        return model, embedded.resnet_file(model)
    if (name := model.lower()) in keras_classifier.IMAGENET:
        recipe = {"name": name, "code": code_sha256(__name__), "versions": versions("tf-keras")}
        return name, _kept("imagenet", recipe, lambda: keras_classifier.imagenet(name))
    path = Path(model).expanduser()
    return path.stem, path


def _downloaded(name: str) -> Path:
    """A published classifier's h5 file, of a checkpoint of PyTorch rebuilt in Keras."""
    if name in checkpoints.FILES:
        recipe = {"name": name, "code": code_sha256(__name__), "versions": versions("tf-keras")}
        return _kept("checkpoint", recipe, lambda: checkpoints.downloaded(name))
    return fetch.fetch(*MLPERF_TINY)


def _local(part: str) -> Path | None:
    """A file or folder below QLAB_DATA, if there is one."""
    place = (paths.real_data() or Path()) / part
    return place if paths.real_data() and place.exists() else None


def _toy(name: str, train: LabelledImages) -> Path:
    """A toy network trained on the training images."""
    used = {"code": code_sha256(__name__), "versions": versions("tensorflow", "tf-keras")}
    recipe = {"name": name, "train": train.sha256, "epochs": TOY_EPOCHS, **used}
    return _kept("toy", recipe, lambda: toys.trained(TOYS[name], train, TOY_EPOCHS))


def _kept(kind: str, recipe: dict[str, Any], make) -> Path:
    """The h5 file of a model that is made once."""
    file = f"{recipe['name']}.h5"
    return artefact(kind, recipe, lambda folder: make().save(folder / file)) / file


def _images(given: Parameters, size: tuple[int, int]) -> Split:
    """A folder's images or CIFAR-10's; else as many of shapes32 as the profile has."""
    counts = {"train": TRAIN, "calibration": CALIBRATION, "test": TEST}
    if not given.data and given.profile not in USUAL:
        return Split("shapes32", *(shapes32.kept(s, n[given.profile]) for s, n in counts.items()))
    own = Path(given.data).expanduser() if given.data else None
    folder = own or _local("cifar10") or cifar10.downloaded()
    if (folder / "train").is_dir():
        few = given.train_limit or TRAIN[given.profile]
        few = few and few + CALIBRATION["full"]  # the last calibrate
        name, train = folder.name, image_folder.load(folder / "train", size, limit=few)
        # Any part of it is as even as all of it, for some of it calibrates.
        train = train.taken(np.random.default_rng(0).permutation(len(train)))
        limit, judges = given.limit or TEST[given.profile], image_folder.judged(folder)
        test = image_folder.load(judges, size, train.classes, limit)
        found = split(name, train, test)
        return found._replace(notes=(f"The images of {judges.name}/ judge.", *found.notes))
    return split("cifar10", *(cifar10.load(folder, part) for part in ("train", "test")))


def split(dataset: str, train: LabelledImages, test: LabelledImages) -> Split:
    """Three parts of a data set that has no calibration images.

    They are the last of the training ones, a quarter at most, which then do not train. Training
    images that are test images too are left out, which is noted.
    """
    kept = train.without(test)
    lost = len(train) - len(kept)
    cut = len(kept) - min(CALIBRATION["full"], len(kept) // 4)
    notes = [f"Calibration images are the last {len(kept) - cut} training images."]
    if lost:
        notes.append(f"{lost} training images are test images too and were left out.")
    return Split(dataset, kept.part(0, cut), kept.part(cut, len(kept)), test, tuple(notes))
