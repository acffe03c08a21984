"""Take a variant along: a Hugging Face folder of one's own that runs without qlab."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import save_file

from qlab.core.take import along, card
from qlab.language import configuration, decoder
from qlab.language.build import Variant
from qlab.language.data import Task


def keep(
    folder: str | Path, task: Task, variant: Variant, rows: pd.DataFrame, source: dict[str, Any]
) -> Path:
    """Write a variant's weights, configuration and tokenizer to `folder`, with a card that holds
    `rows`, its records, and `source`, their provenance; anew where such a folder is there.

    Returns the folder. `AutoModelForCausalLM` opens it; GPTQ with optimum and auto-gptq beside
    transformers, on any family. QlabError: the folder holds something else.
    """

    def write(part: Path) -> None:
        shutil.copytree(variant.folder, part, dirs_exist_ok=True)
        if variant.adapter:
            shutil.copytree(variant.adapter, part / "adapter")
        name_the_embedding(part)

    return along(folder, card(task.model, rows, source), write)


def name_the_embedding(folder: Path) -> None:
    """Store a tied embedding that GPTQ's format stores as the head as itself too: auto-gptq alone
    wants the head's name (see `streaming.kept`), transformers both."""
    model, weights = decoder.empty(configuration.read(folder)), configuration.Weights(folder)
    name = decoder.embedding_name(model)
    stored = decoder.stored_names(model, weights)(name)
    if stored not in decoder.tied(model):
        return
    file, index = weights.files[stored], folder / configuration.INDEX
    tensors = {n: weights.read(n) for n, place in weights.files.items() if place == file}
    tensors[name] = weights.read(stored)
    save_file(tensors, file, metadata={"format": "pt"})
    if index.is_file():
        content = json.loads(index.read_text())
        content["weight_map"][name] = file.name
        index.write_text(json.dumps(content, indent=2) + "\n")
