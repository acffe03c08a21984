"""The small models and data that come with the project, ready to use."""

import json
from pathlib import Path

from qlab import mini_coco, paths
from qlab.artefacts import artefact, code_sha256, file_sha256, versions
from qlab.errors import QlabError


def model_folder(name: str) -> Path:
    """The folder of an embedded model after checking its weights against its card."""
    folder = paths.models() / name
    card = folder / "card.json"
    if not card.is_file():
        raise QlabError(
            f"There is no embedded model '{name}' at {folder}; run from a checkout of the project, "
            "or set QLAB_HOME to one."
        )
    expected = json.loads(card.read_text())["weights_sha256"]
    found = file_sha256(folder / "weights.h5")
    if found != expected:
        raise QlabError(
            f"{folder / 'weights.h5'} does not match its card (sha256 {found[:12]}..., expected "
            f"{expected[:12]}...); get it again with git checkout."
        )
    return folder


def centernet_saved_model(neck: str = "transposed") -> Path:
    """The embedded CenterNet as a SavedModel folder; `neck` as in `centernet.build`."""
    folder = model_folder("centernet_mini")
    recipe = {
        "weights": file_sha256(folder / "weights.h5"),
        "neck": neck,
        "code": code_sha256("centernet"),
        "versions": versions("tensorflow", "tf-keras"),
    }

    def make(target: Path) -> None:
        from qlab import centernet

        model = centernet.build(centernet.MINI_256)
        model.load_weights(folder / "weights.h5")
        if neck == "subpixel":
            model = centernet.to_subpixel(model, centernet.MINI_256)
        centernet.export(model, target / "model")

    return artefact("saved_model", recipe, make) / "model"


def mini_coco_folder(split: str, count: int, progress=iter) -> Path:
    """The first `count` images of a mini_coco split as a COCO folder."""
    recipe = {
        "split": split,
        "count": count,
        "code": code_sha256("mini_coco", "shapes"),
        "versions": versions("numpy", "pillow", "pycocotools"),
    }

    def make(folder: Path) -> None:
        mini_coco.write_coco(folder, split, count, progress)

    return artefact("mini_coco", recipe, make)
