"""What notebook 03 works on: a Keras classifier; examples that train, calibrate and judge it."""

from dataclasses import dataclass, field
from pathlib import Path

from qlab.classifier import bert_layers, cifar10, image_folder, sentence_task, sst2, toys
from qlab.classifier import model as keras_classifier
from qlab.classifier.fine_tune import Settings
from qlab.classifier.labelled_examples import LabelledExamples
from qlab.classifier.subject import Subject, split
from qlab.core import embedded, fetch, paths, place, shapes32
from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.errors import QlabError, refuse_below_one, refuse_negative
from qlab.core.labelled_images import LabelledImages

# Images or sentences per profile; 0 means all there are.
TRAIN = {"smoke": 256, "mini": 2048, "full": 0}
CALIBRATION = {"smoke": 32, "mini": 256, "full": 256}
TEST = {"smoke": 200, "mini": 2000, "full": 0}
TRAINING = {"smoke": Settings(1), "mini": Settings(2), "full": Settings(2)}
SWEEPS = ("short", "long")
EMBEDDED = ("resnet8_shapes32", "resnet20_shapes32")
TOYS = ("toy_mlp", "toy_cnn")
TOY_SIZE, TOY_EPOCHS = 32, 10
MLPERF_TINY = (
    "https://github.com/mlcommons/tiny/raw/master/benchmark/training/image_classification/"
    "trained_models/pretrainedResnet.h5",
    "sha256:5f938a8eea605438cc7360aa13c987bc6d7bd0c8d931b2917361ae7ae4eeda2f",
)


@dataclass(frozen=True)
class Task:
    """A classifier with the data that trains, calibrates and judges it; no example is in two."""

    model: str  # its name in the records
    dataset: str  # its name in the records
    file: Path  # Keras 2 h5, or SavedModel folder
    train: LabelledExamples = field(repr=False)  # fine-tunes
    calibration: LabelledExamples = field(repr=False)  # sets the ranges of activations
    test: LabelledExamples = field(repr=False)  # judges
    training: Settings  # how long and how fast
    profile: str  # smoke, mini or full
    leave_float: tuple[str, ...] = ()  # names of layers that are not to be quantized
    place: str = ""  # folder name of its records and figures
    chosen: dict[str, int | float | str] = field(default_factory=dict)  # the parameters as given
    notes: tuple[str, ...] = ()  # sentences to tell the reader

    def load(self):
        """The Keras model, fresh from its file."""
        return keras_classifier.load(self.file)

    def settings(self) -> dict[str, int | float | str]:
        """What the parameters resolved to, for the provenance."""
        return {
            **{k: v for k, v in self.chosen.items() if k not in _PATHS},
            **self.training._asdict(),
            "model": self.model,
            "dataset": self.dataset,
            f"training_{self.train.noun}s": len(self.train),
            f"calibration_{self.train.noun}s": len(self.calibration),
            f"test_{self.train.noun}s": len(self.test),
        }

    def inputs(self) -> dict[str, str]:
        """sha256 of what went in, for the provenance and for the address of what is made of it."""
        parts = {"train": self.train, "calibration": self.calibration, "test": self.test}
        hashes = {name: part.sha256 for name, part in parts.items()}
        return {"model": file_sha256(self.file), **hashes}


_PATHS = ("model", "data")
_DEFAULTS = {"threads": 2}


def prepare(
    profile: str,
    model: str = "",
    data: str = "",
    epochs: int = 0,
    rate: float = 0.0,
    train_limit: int = 0,
    limit: int = 0,
    leave_float: str = "",
    sweep: str = "short",
    seeds: int = 3,
    threads: int = 2,
    seed: int = 0,
) -> Task:
    """Resolve the parameters of notebook 03 into a checked task.

    `model` is an embedded model's name, the path of a Keras 2 h5 file or SavedModel folder,
    `ResNet50` or `ResNet50V2` with ImageNet weights, or one of the midterm's toy networks,
    `toy_mlp` or `toy_cnn`, which are first trained on the training images; or a BERT, see
    `sentence_task.subject`. `data` is a folder with CIFAR-10's batches, or with `train/` and
    `val/`, each with a folder of images per class. Left empty they are the embedded ResNet-8 and
    shapes32, or for `full` MLPerf Tiny's ResNet-8 and CIFAR-10, from QLAB_DATA or downloaded.
    `leave_float` names layers, with commas between, not to be quantized.
    QlabError: a parameter out of its range, a layer that is not there, classes that differ.
    """
    numbers = {"epochs": epochs, "rate": rate, "train_limit": train_limit, "limit": limit}
    refuse_negative(**numbers, seed=seed)
    refuse_below_one(threads=threads, seeds=seeds)
    if sweep not in SWEEPS:
        raise QlabError(f"The parameter 'sweep' is one of {', '.join(SWEEPS)}; got '{sweep}'.")
    found = sentence_task.subject if sentence_task.takes(model) else image_subject
    subject = found(profile, model, data)
    file, test = subject.file, subject.test
    keras_model = keras_classifier.load(file)
    if keras_model.output_shape[1] != len(test.classes):
        raise QlabError(
            f"{file} answers with {keras_model.output_shape[1]} classes; {subject.dataset} has "
            f"{len(test.classes)}. Give a model and data that belong together."
        )
    left = tuple(part.strip() for part in leave_float.split(",") if part.strip())
    known = [layer.name for layer in keras_model.layers]
    if missing := [part for part in left if part not in known]:
        raise QlabError(
            f"The parameter 'leave_float' names the layer '{missing[0]}'; {file} has "
            f"{', '.join(known)}."
        )
    given = {"model": model, "data": data, **numbers, "leave_float": leave_float,
             "threads": threads, "seed": seed}  # fmt: skip
    where = place.place(profile, subject.name, given, _DEFAULTS)
    training = TRAINING[profile]
    return Task(
        model=subject.name,
        dataset=subject.dataset,
        file=file,
        train=_limited(subject.train, train_limit or TRAIN[profile]),
        calibration=_limited(subject.calibration, CALIBRATION[profile]),
        test=_limited(test, limit or TEST[profile]),
        training=training._replace(epochs=epochs or training.epochs, rate=rate or training.rate),
        profile=profile,
        leave_float=(*left, *bert_layers.left_float(keras_model)),
        place=where if sweep == "short" else f"{where}-{sweep}",
        chosen={"profile": profile, **given, "sweep": sweep, "seeds": seeds},
        notes=subject.notes,
    )


def _limited(data: LabelledExamples, limit: int) -> LabelledExamples:
    return data.first(min(limit, len(data))) if limit else data


def image_subject(profile: str, model: str, data: str) -> Subject:
    """An image classifier and its images, resized to what it takes."""
    if model in TOYS:
        dataset, *images = _images(profile, data, TOY_SIZE)
        return Subject(model, _toy(model, images[0]), dataset, *images)
    name, file = _model(model, profile)
    own = data or profile == "full"
    return Subject(name, file, *_images(profile, data, _image_size(file) if own else 0))


def _image_size(file: Path) -> int:
    """The height and width of the images that a classifier takes."""
    model = keras_classifier.load(file)
    if len(model.inputs) > 1:
        raise QlabError(
            f"{file} reads sentences and holds no tokenizer; give the Hugging Face folder instead."
        )
    return model.input_shape[1]


def _model(model: str, profile: str) -> tuple[str, Path]:
    """Name and file of the classifier."""
    if not model and profile == "full":
        return "mlperf_tiny_resnet8", _mlperf_tiny()
    if (model or EMBEDDED[0]) in EMBEDDED:
        return model or EMBEDDED[0], embedded.resnet_file(model or EMBEDDED[0])
    if model.lower() in keras_classifier.IMAGENET:
        return model.lower(), _imagenet(model.lower())
    path = Path(model).expanduser()
    return path.stem, path


def _mlperf_tiny() -> Path:
    """MLPerf Tiny's trained ResNet-8, from QLAB_DATA or downloaded."""
    local = (paths.real_data() or Path()) / "mlperf_tiny" / "pretrainedResnet.h5"
    return local if paths.real_data() and local.is_file() else fetch.fetch(*MLPERF_TINY)


def _imagenet(name: str) -> Path:
    """A network trained on ImageNet as a file of its own."""
    recipe = {
        "name": name,
        "code": code_sha256(__name__),
        "versions": versions("tf-keras"),
    }

    def make(folder: Path) -> None:
        keras_classifier.imagenet(name).save(folder / f"{name}.h5")

    return artefact("imagenet", recipe, make) / f"{name}.h5"


def _toy(name: str, train: LabelledImages) -> Path:
    """A toy network trained on the training images."""
    recipe = {
        "name": name,
        "train": train.sha256,
        "epochs": TOY_EPOCHS,
        "code": code_sha256(__name__),
        "versions": versions("tensorflow", "tf-keras"),
    }

    def make(folder: Path) -> None:
        kind = name.removeprefix("toy_")
        model = toys.trained(kind, train, TOY_EPOCHS)
        model.save(folder / f"{name}.h5")

    return artefact("toy", recipe, make) / f"{name}.h5"


Parts = tuple[str, LabelledImages, LabelledImages, LabelledImages]


def _images(profile: str, data: str, size: int) -> Parts:
    """Data set, training, calibration and test images."""
    if data or profile == "full":
        return _own_data(data, size)
    return (
        "shapes32",
        shapes32.kept("train", TRAIN[profile]),
        shapes32.kept("calibration", CALIBRATION[profile]),
        shapes32.kept("test", TEST[profile]),
    )


def _own_data(data: str, size: int) -> Parts:
    """Data set, training, calibration and test images of a folder, or of CIFAR-10."""
    folder = Path(data).expanduser() if data else _cifar10()
    if sst2.is_folder(folder):
        raise QlabError(
            f"{folder} holds sentences ({', '.join(sst2.SPLITS)}), which an image classifier does "
            "not read; give a BERT as the model, such as toy_bert."
        )
    if (folder / "train").is_dir():
        name = folder.name
        train = image_folder.load(folder / "train", size)
        test = image_folder.load(folder / "val", size)
    else:
        name = "cifar10"
        train, test = (cifar10.load(folder, split) for split in ("train", "test"))
    return name, *split(train, test)


def _cifar10() -> Path:
    """CIFAR-10 under QLAB_DATA, or downloaded."""
    local = (paths.real_data() or Path()) / "cifar10"
    return local if paths.real_data() and local.is_dir() else cifar10.downloaded()
