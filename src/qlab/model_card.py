"""An embedded model's weights and its card: how it was made and what it scores."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qlab.artefacts import file_sha256, written_whole


def keep(folder: Path, save_weights: Callable[[str], None], card: dict[str, Any]) -> dict[str, Any]:
    """Write `weights.h5` and `card.json` into a model's folder; returns the card.

    `card` says the command, the seed, the settings and the score; the weights'
    sha256 is added, by which `embedded.model_folder` checks them.
    """
    weights = folder / "weights.h5"
    with written_whole(weights) as part:
        save_weights(str(part))
    full = {**card, "weights_sha256": file_sha256(weights)}
    with written_whole(folder / "card.json") as part:
        part.write_text(json.dumps(full, indent=2, sort_keys=True) + "\n")
    return full
