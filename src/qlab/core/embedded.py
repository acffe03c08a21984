"""The small models and data that come with the project, ready to use."""

import json
from pathlib import Path

import numpy as np

from qlab import mini_coco, mini_lambada, paths
from qlab import shapes32 as drawn
from qlab.artefacts import artefact, code_sha256, file_sha256, versions
from qlab.errors import QlabError
from qlab.labelled_images import LabelledImages
from qlab.model_card import CARD
from qlab.progress import bar

DRAWING = bar("images")  # data are drawn when first asked for, so the first run of a notebook waits


def model_folder(name: str) -> Path:
    """The folder of an embedded model after checking its weights against its card.

    QlabError: no such model, or weights that are not the card's.
    """
    folder = paths.models() / name
    card = folder / CARD
    if not card.is_file():
        raise QlabError(
            f"There is no embedded model '{name}' at {folder}; run from a checkout of the project, "
            "or set QLAB_HOME to one."
        )
    facts = json.loads(card.read_text())
    weights, expected = folder / facts["weights"], facts["weights_sha256"]
    found = file_sha256(weights) if weights.is_file() else "none"
    if found != expected:
        raise QlabError(
            f"{weights} does not match its card (sha256 {found[:12]}..., expected "
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


def mini_coco_folder(split: str, count: int, progress=DRAWING) -> Path:
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


def llama_folder() -> Path:
    """The embedded Llama, a Hugging Face folder."""
    return model_folder("llama_mini")


def mini_lambada_file(split: str, count: int) -> Path:
    """The first `count` passages of a mini_lambada split as a jsonl file."""
    recipe = {"split": split, "count": count, "code": code_sha256("mini_lambada")}

    def make(folder: Path) -> None:
        mini_lambada.write_jsonl(folder / f"{split}.jsonl", split, count)

    return artefact("mini_lambada", recipe, make) / f"{split}.jsonl"


def llama_even_folder() -> Path:
    """The embedded Llama without its outlier channels: the same function, more even weights."""
    folder = llama_folder()
    recipe = {
        "model": file_sha256(folder),
        "code": code_sha256("outliers", "llama", "llama_mini"),
        "versions": versions("torch", "transformers"),
    }

    def make(target: Path) -> None:
        from qlab import llama, llama_mini, outliers

        facts = json.loads((folder / CARD).read_text())["outliers"]
        model = llama.load(folder)
        outliers.spread(model, facts["seed"], -facts["strength"])
        llama_mini.write(target / "model", model, llama.load_tokenizer(folder))

    return artefact("llama_even", recipe, make) / "model"


def resnet_file(name: str) -> Path:
    """An embedded classifier, a whole Keras 2 model: `resnet8_shapes32` or `resnet20_shapes32`."""
    return model_folder(name) / "weights.h5"


def shapes32(split: str, count: int, progress=DRAWING) -> LabelledImages:
    """The first `count` images of a shapes32 split, drawn once and kept."""
    recipe = {
        "split": split,
        "count": count,
        "code": code_sha256("shapes32", "shapes"),
        "versions": versions("numpy", "pillow"),
    }

    def make(folder: Path) -> None:
        made = drawn.load(split, count, progress)
        np.savez(folder / "drawn.npz", images=made.images, labels=made.labels)

    with np.load(artefact("shapes32", recipe, make) / "drawn.npz") as kept:
        return LabelledImages(kept["images"], kept["labels"], drawn.CLASSES)
