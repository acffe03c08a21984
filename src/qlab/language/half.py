"""A float Llama folder with its weights rounded to 16 bits: the smallest step down."""

import json
import shutil
from pathlib import Path

from qlab.language import llama


def write(folder: Path, target: Path) -> None:
    """Write the float Llama in `folder` to the folder `target`, every tensor as float16.

    Raises QlabError where a weight is beyond float16's 65,504.
    """
    import torch
    from safetensors.torch import save_file

    from qlab.core.errors import QlabError

    tensors = {}
    with llama.Weights(folder) as weights:
        for name in weights.names:
            tensors[name] = weights.read(name).to(torch.float16)
            if not tensors[name].isfinite().all():
                raise QlabError(f"{folder}: {name} has weights beyond float16's 65,504.")
    save_file(tensors, target / llama.WEIGHTS, metadata={"format": "pt"})
    settings = llama.read_json(folder, "config.json")
    settings["torch_dtype"] = "float16"
    (target / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    for path in folder.glob("*token*"):
        shutil.copyfile(path, target / path.name)
