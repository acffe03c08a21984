"""Files from the network, each checked against a hash before it is used."""

import shutil
import tarfile
from pathlib import Path

import pooch
import requests

from qlab.core import disk, network, paths
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError
from qlab.core.progress import quiet

# The md5 sums that COCO's readers agree on (TensorFlow Datasets, PaddleDetection, mmdetection).
COCO_VAL = (
    "http://images.cocodataset.org/zips/val2017.zip",
    "md5:442b8da7639aecaf257c1dceb8ba8c80",
)
COCO_ANNOTATIONS = (
    "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
    "md5:f4bbac642086de4f52a3fdda2de5fa2c",
)
# The md5 sum that the data set's page states.
CIFAR10 = (
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "md5:c58f30108f718f92721af3b95e74349a",
)
CENTERNET_HANDLE = "tensorflow/centernet-resnet/tensorFlow2/50v2-512x512/1"  # on Kaggle Models
KAGGLE_MODELS = "https://www.kaggle.com"  # whose answer says whether it can be reached
# What to attach to a notebook on Kaggle whose internet is off, by the file it stands for.
ATTACH = {
    COCO_VAL[0]: "the dataset awsaf49/coco-2017-dataset, or one of yours in COCO's layout",
    COCO_ANNOTATIONS[0]: "the dataset awsaf49/coco-2017-dataset, or one of yours in COCO's layout",
    CIFAR10[0]: "the dataset pankrzysiu/cifar10-python, or one of yours with CIFAR-10's batches",
}


def fetch(url: str, known_hash: str, unpack: bool = False) -> Path:
    """Download a file once into build/downloads; returns it, or the folder it unpacks to.

    `known_hash` is "md5:..." or "sha256:...". A file with another hash is
    refused and removed. What unpacks is a .zip or a .tar.gz; no member can leave
    the folder.
    QlabError: another hash; no network, after some seconds.
    """
    folder = paths.build() / "downloads"
    name = url.rsplit("/", 1)[-1]
    target = folder / f"{name}.unpacked"
    if unpack and target.is_dir():
        return target
    if not (folder / name).is_file() and not network.reachable(url):
        raise QlabError(_unreachable(url, "no answer"))
    if not (folder / name).is_file():
        disk.refuse(
            _size(url) * (2 if unpack else 1),
            f"Downloading {name}",
            "Give local paths as parameters",
        )
    try:
        found = pooch.retrieve(
            url,
            known_hash,
            fname=name,
            path=folder,
            progressbar=not quiet(),
        )
    except ValueError as error:
        raise QlabError(
            f"{url} came with another hash than the known {known_hash}, so it was not used: {error}"
        ) from error
    except requests.RequestException as error:
        raise QlabError(_unreachable(url, type(error).__name__)) from error
    if not unpack:
        return Path(found)
    with written_whole(target) as part:
        part.mkdir()
        _unpack(Path(found), part)
    return target


def _size(url: str) -> int:
    """Bytes that the server says a file has; 0 where it does not say."""
    try:
        answer = requests.head(url, timeout=network.PATIENCE, allow_redirects=True)
    except requests.RequestException:
        return 0  # the download itself will say what is wrong
    return int(answer.headers.get("Content-Length", 0)) if answer.ok else 0


def _unreachable(url: str, why: str) -> str:
    """That a file cannot be had from the network, and what to do instead."""
    if paths.kaggle():
        attach = ATTACH.get(url, f"a dataset with {url.rsplit('/', 1)[-1]}")
        return (
            f"{url} could not be downloaded ({why}); attach {attach} (Add Input) and "
            "run qlab's cell again, which finds it, or switch the internet on (Settings)."
        )
    return (
        f"{url} could not be downloaded ({why}); without a network, give local paths as parameters "
        "or put the files into a folder named by QLAB_DATA."
    )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip, whose members shutil keeps inside the folder, or a tar.gz, filtered (PEP 706).

    QlabError for a tar with a member that would leave the folder. A damaged archive does not get
    here: its hash is another.
    """
    if archive.suffix == ".zip":
        shutil.unpack_archive(archive, folder, "zip")
        return
    try:
        shutil.unpack_archive(archive, folder, "gztar", filter="data")
    except tarfile.TarError as error:
        raise QlabError(f"{archive.name} was not unpacked: {error}") from error


def coco_val2017() -> tuple[Path, Path]:
    """The annotation file and the image folder of COCO val2017 (1 GB, downloaded once)."""
    annotations = fetch(*COCO_ANNOTATIONS, unpack=True)
    images = fetch(*COCO_VAL, unpack=True)
    return annotations / "annotations" / "instances_val2017.json", images / "val2017"


def _local_centernet() -> Path | None:
    """The same under QLAB_DATA/detector, by the name that the zoo or Kaggle gives it, or None."""
    names = ("centernet_resnet50_v2_512x512_coco17_tpu-8", "centernet-resnet-50v2-512x512")
    folders = [(paths.real_data() or Path()) / "detector" / name for name in names]
    found = [f for folder in folders for f in (folder / "saved_model", folder)]
    return next((f for f in found if paths.real_data() and (f / "saved_model.pb").is_file()), None)


def centernet_r50v2_512() -> Path:
    """The TF2 zoo's CenterNet ResNet50-v2 512 as a SavedModel: from QLAB_DATA or Kaggle Models.

    QlabError: Kaggle gave none.
    """
    if local := _local_centernet():
        return local
    from kagglehub import config

    # What was downloaded once is given by kagglehub without a network.
    cached = Path(config.get_cache_folder(), "models", f"{CENTERNET_HANDLE}.complete").is_file()
    if not cached and not network.reachable(KAGGLE_MODELS):
        raise QlabError(
            f"Kaggle Models cannot be reached; attach the model {CENTERNET_HANDLE} (Kaggle: Add "
            "Input) and run qlab's cell again, or download it by hand and pass its folder as the "
            "parameter 'model'."
        )
    import kagglehub

    try:
        return Path(kagglehub.model_download(CENTERNET_HANDLE))
    except Exception as error:  # kagglehub's own errors share no base class
        raise QlabError(
            f"Kaggle Models did not give {CENTERNET_HANDLE} ({type(error).__name__}); download it "
            "by hand and pass its folder as the parameter 'model'."
        ) from error
