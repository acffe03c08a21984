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
from qlab.language.streaming import LAYERS
from qlab.language.weights import INDEX, Weights

ADAPTER = "adapter"  # folder in the folder, where the variant has one


def keep(
    folder: str | Path, task: Task, variant: Variant, rows: pd.DataFrame, source: dict[str, Any]
) -> Path:
    """Write a variant's weights, configuration and tokenizer to `folder`, with a card that holds
    `rows`, its records, and `source`, their provenance; anew where such a folder is there.

    Returns the folder. `AutoModelForCausalLM` opens it; GPTQ with optimum and auto-gptq beside
    transformers, on any family. QlabError: the folder holds something else.
    """

    def write(part: Path) -> None:
        shutil.copytree(
            variant.folder, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns(LAYERS)
        )
        if variant.adapter:
            shutil.copytree(variant.adapter, part / ADAPTER)
        name_the_embedding(part)

    return along(folder, card(task.model, rows, source), write)


def name_the_embedding(folder: Path) -> None:
    """In a GPTQ folder with shards, store a tied embedding, which lies there as the head, as itself
    too: auto-gptq alone wants the head's name (see `streaming.outside`), transformers both.
    """
    config = configuration.check(folder)
    if getattr(config, "quantization_config", {}).get("quant_method") != "gptq":
        return
    model, weights = decoder.empty(config), Weights(folder)
    name = decoder.embedding_name(model)
    stored = decoder.stored_names(model, weights)(name)
    if stored == name:
        return
    shard = "model-embedding.safetensors"
    save_file({name: weights.read(stored)}, folder / shard, metadata={"format": "pt"})
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"][name] = shard
    index["metadata"]["total_size"] += (folder / shard).stat().st_size
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")
