"""The small models that come with the project: their files, and the card that says how made."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qlab.core import paths
from qlab.core.cache import file_sha256, written_whole
from qlab.core.errors import QlabError
from qlab.core.progress import bar

DRAWING = bar("images")  # data are drawn when first asked for, so the first run of a notebook waits
CARD = "card.json"  # file in a model's folder


def keep(
    folder: Path, save: Callable[[Path], None], card: dict[str, Any], weights: str = "weights.h5"
) -> dict[str, Any]:
    """Write a model's files, by `save(folder)`, and its card into its folder; returns the card.

    To `card` the name and sha256 of `weights`, one of the files, are added.
    """
    with tempfile.TemporaryDirectory() as made:
        save(Path(made))  # where it fails, the old model stays
        for file in sorted(Path(made).iterdir()):
            with written_whole(folder / file.name) as part:
                shutil.copyfile(file, part)
    full = {**card, "weights": weights, "weights_sha256": file_sha256(folder / weights)}
    with written_whole(folder / CARD) as part:
        part.write_text(json.dumps(full, indent=2, sort_keys=True) + "\n")
    return full


def model_folder(name: str) -> Path:
    """The folder of an embedded model; QlabError for weights that are not its card's, or none."""
    folder = paths.models() / name
    card = folder / CARD
    if not card.is_file():
        raise QlabError(
            f"There is no embedded model '{name}' at {folder}; set QLAB_HOME to a checkout."
        )
    facts = json.loads(card.read_text())
    weights, expected = folder / facts["weights"], facts["weights_sha256"]
    found = file_sha256(weights) if weights.is_file() else "none"
    if found != expected:
        why = f"sha256 {found[:12]}..., expected {expected[:12]}..."
        raise QlabError(f"{weights} does not match its card ({why}); git checkout gets it again.")
    return folder


def resnet_file(name: str) -> Path:
    """An embedded classifier, a whole Keras 2 model: `resnet8_shapes32` or `resnet20_shapes32`."""
    return model_folder(name) / "weights.h5"
