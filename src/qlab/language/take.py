"""Take a variant along: a Hugging Face folder of one's own that runs without qlab."""

import json
import shutil
from pathlib import Path

import pandas as pd
from safetensors.torch import save_file

from qlab.core.take import along, card
from qlab.language import configuration, decoder


def keep(folder: str | Path, task, variant, rows: pd.DataFrame, source: dict) -> Path:
    """Write a variant's model folder to `folder`, which is returned, with a card that holds `rows`,
    its records, and `source`, their provenance. QlabError: the folder holds something else."""

    def write(part: Path) -> None:
        told = shutil.ignore_patterns("recipe.json")  # of build/
        shutil.copytree(variant.folder, part, dirs_exist_ok=True, ignore=told)
        if variant.adapter:
            shutil.copytree(variant.adapter, part / "adapter")
        name_the_embedding(part)

    return along(folder, card(task.model, rows, source), write)


def name_the_embedding(folder: Path) -> None:
    """Store a tied embedding that GPTQ's format has as the head as itself too: auto-gptq wants the
    head's name alone (see `streaming.kept`), transformers both."""
    model = decoder.empty(configuration.read(folder))
    name, weights = decoder.embedding_name(model), decoder.weights(folder, model)
    file, stored = weights.files[name]
    if stored not in decoder.tied(model):
        return
    own = {n for n, (place, _) in weights.files.items() if place == file}
    save_file({n: weights.read(n) for n in own}, file, metadata={"format": "pt"})
    index = folder / configuration.INDEX
    if index.is_file():
        content = json.loads(index.read_text())
        content["weight_map"][name] = file.name
        index.write_text(json.dumps(content, indent=2) + "\n")
