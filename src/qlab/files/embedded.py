"""The small models that come with the project: files, and cards that say how each was made."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qlab.core import paths
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError

CARD = "card.json"  # file in a model's folder


def keep(
    folder: Path, save: Callable[[Path], None], card: dict[str, Any], weights: str = "weights.h5"
) -> None:
    """Write a model's files, by `save(folder)`, and its card into its folder: `card` with the name
    and sha256 of `weights`, one of the files, added."""
    with tempfile.TemporaryDirectory() as made:
        save(Path(made))  # if this fails, the old model stays
        full = {**card, "weights": weights, "weights_sha256": file_sha256(Path(made, weights))}
        Path(made, CARD).write_text(json.dumps(full, indent=2, sort_keys=True) + "\n")
        shutil.copytree(made, folder, dirs_exist_ok=True)


def model_folder(name: str) -> Path:
    """The folder of an embedded model. QlabError if files are missing or do not match its card."""
    folder = paths.models() / name
    try:
        card = json.loads((folder / CARD).read_text())
        if file_sha256(folder / card["weights"]) == card["weights_sha256"]:
            return folder
        why = "its weights do not match its card"
    except FileNotFoundError as error:
        why = f"there is no {error.filename}"
    raise QlabError(
        f"The embedded model '{name}' is not whole ({why}); git checkout gets it again, or set "
        "QLAB_HOME to a checkout."
    )
