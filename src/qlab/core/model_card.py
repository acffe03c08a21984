"""An embedded model's files and its card: how it was made and what it scores."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qlab.artefacts import file_sha256, written_whole

CARD = "card.json"  # file in a model's folder


def keep(
    folder: Path, save: Callable[[Path], None], card: dict[str, Any], weights: str = "weights.h5"
) -> dict[str, Any]:
    """Write a model's files and `card.json` into its folder; returns the card.

    `save(folder)` writes the files, `weights` among them. `card` says the command,
    the seed, the settings and the score; the weights' name and sha256 are added,
    by which `embedded.model_folder` checks them.
    """
    with tempfile.TemporaryDirectory() as made:
        save(Path(made))
        for file in sorted(Path(made).iterdir()):
            with written_whole(folder / file.name) as part:
                shutil.copyfile(file, part)
    full = {**card, "weights": weights, "weights_sha256": file_sha256(folder / weights)}
    with written_whole(folder / CARD) as part:
        part.write_text(json.dumps(full, indent=2, sort_keys=True) + "\n")
    return full
