"""The small CenterNet and the drawn images that come with the project, ready to use."""

from pathlib import Path

from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.embedded import DRAWING, model_folder
from qlab.detector import mini_coco


def centernet_saved_model(neck: str = "transposed") -> Path:
    """The embedded CenterNet as a SavedModel folder; `neck` as in `centernet.build`."""
    folder = model_folder("centernet_mini")
    recipe = {
        "weights": file_sha256(folder / "weights.h5"),
        "neck": neck,
        "code": code_sha256(__name__),
        "versions": versions("tensorflow", "tf-keras"),
    }

    def make(target: Path) -> None:
        from qlab.detector import centernet

        model = centernet.build(centernet.MINI_256)
        model.load_weights(folder / "weights.h5")
        if neck == "subpixel":
            model = centernet.to_subpixel(model, centernet.MINI_256)
        centernet.export(model, target / "model")

    return artefact("saved_model", recipe, make) / "model"


def mini_coco_folder(split: str, count: int, progress=DRAWING) -> Path:
    """The first `count` images of a mini_coco split as a COCO folder."""
    recipe = {
        "split": split,
        "count": count,
        "code": code_sha256(__name__),
        "versions": versions("numpy", "pillow", "pycocotools"),
    }

    def make(folder: Path) -> None:
        mini_coco.write_coco(folder, split, count, progress)

    return artefact("mini_coco", recipe, make)
