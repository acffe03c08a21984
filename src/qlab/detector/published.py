"""Published detectors, and COCO's photos to calibrate them: from QLAB_DATA, or downloaded."""

from collections.abc import Mapping
from pathlib import Path

from qlab.core import paths
from qlab.core.errors import QlabError
from qlab.core.progress import bar
from qlab.files import fetch

# Not in downloads.yaml: photos have their hashes in data/coco_calibration.csv, kagglehub none.
TRAIN_IMAGES = "http://images.cocodataset.org/train2017/"
HANDLE = "tensorflow/centernet-resnet/tensorFlow2/50v2-512x512/1"  # on Kaggle Models
# Names of its folder in the zoo and on Kaggle.
_NAMES = ("centernet_resnet50_v2_512x512_coco17_tpu-8", "centernet-resnet-50v2-512x512")


def centernet_mobilenetv3_512() -> Path:
    """CenterNet-MobileNetV3 512, a TensorFlow.js detector of 4 MB. In QLAB_DATA, a SavedModel will
    do if the TensorFlow.js files are not beside it."""
    for kind in ("tfjs", "saved_model"):
        if folder := paths.local(f"detector/centernet_mobilenetv3_512_coco17/{kind}"):
            return folder
    model, _weights = (fetch.get(f"centernet.{part}") for part in ("json", "bin"))
    return model


def centernet_r50v2_512() -> Path:
    """The TF2 zoo's CenterNet ResNet50-v2 512 as a SavedModel, from QLAB_DATA or Kaggle Models."""
    for folder in filter(None, (paths.local(f"detector/{name}") for name in _NAMES)):
        for file in folder.glob("**/saved_model.pb"):
            return file.parent
    import kagglehub

    try:
        return Path(kagglehub.model_download(HANDLE))
    except Exception as error:  # kagglehub's own errors share no base class
        raise QlabError(
            f"Kaggle Models did not give {HANDLE} ({type(error).__name__}); attach it "
            "(Kaggle: Add Input), or pass a folder as the parameter 'model'."
        ) from error


def coco_train2017(wanted: Mapping[str, str]) -> list[Path]:
    """Images of COCO train2017; `wanted` has their sha256 by name."""
    return [
        paths.local(f"coco/train2017/{name}")
        or fetch.fetch(f"{TRAIN_IMAGES}{name}", f"sha256:{known}")
        for name, known in bar("calibration images")(wanted.items())
    ]
