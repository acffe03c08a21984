"""Models from the Hugging Face hub: safetensors and JSON only; no token is stored or shown."""

import os
import re
from pathlib import Path

from qlab.core.errors import QlabError
from qlab.core.progress import quiet

_SMALL = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
_SMALL += ["special_tokens_map.json", "vocab.txt"]
_WEIGHTS = ["model*.safetensors", "model.safetensors.index.json"]


def is_name(text: str) -> bool:
    """Whether a text looks like a model's name on the hub: owner/name."""
    return re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", text) is not None


def model(name: str, weights: bool = True) -> Path:
    """The folder of a hub model in Hugging Face's cache, downloaded if it is missing; without
    `weights`, only its configuration and tokenizer, some megabytes. QlabError: the model is gated
    or unknown, or it is not cached and the hub cannot be reached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    if quiet():
        disable_progress_bars()
    own = os.environ.get("HF_TOKEN", "").strip() or False  # never one that a login left on the disk
    try:
        return Path(snapshot_download(name, allow_patterns=_SMALL + _WEIGHTS * weights, token=own))
    except OSError as error:  # the hub's own errors are of this class, too
        why = error.strerror or type(error).__name__
        raise QlabError(
            f"The hub did not give {name} ({why}, {'with' if own else 'without'} HF_TOKEN): check "
            f"the name and the network; accept a gated model's licence, https://huggingface.co/"
            f"{name}, and set HF_TOKEN (Kaggle: Add-ons, Secrets) to a token of that account; or "
            "pass a local folder as the parameter 'model'."
        ) from error
