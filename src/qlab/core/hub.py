"""Models and LAMBADA from the network: safetensors and JSON only, access explained where it fails.

A token comes from the variable HF_TOKEN or Kaggle's secret of that name; none is stored or shown.
"""

import errno
import os
import re
from pathlib import Path

from qlab.core import fetch, network, paths
from qlab.core.errors import QlabError
from qlab.core.progress import quiet
from qlab.core.secrets import kaggle_secret

# The same bytes in both places: OpenAI's own copy and EleutherAI/lambada_openai on the hub.
LAMBADA_SHA256 = "4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226"
# Tried in this order.
LAMBADA_ADDRESSES = (
    "https://huggingface.co/datasets/EleutherAI/lambada_openai/resolve/"
    "900124bf3b8235c6daf21033af9948b3f07346c4/data/lambada_test.jsonl",
    "https://openaipublic.blob.core.windows.net/gpt-2/data/lambada_test.jsonl",
)
LLAMA_ON_KAGGLE = "for Llama-3.2-3B the model metaresearch/llama-3.2, Transformers, 3b"
_SMALL = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
]
_WEIGHTS = ["model*.safetensors", "model.safetensors.index.json"]


def lambada() -> Path:
    """The 5,153 passages that `lambada_openai` names (1.8 MB), downloaded once."""
    known = f"sha256:{LAMBADA_SHA256}"
    on_hub, elsewhere = LAMBADA_ADDRESSES
    try:
        return fetch.fetch(elsewhere if network.hub_offline() else on_hub, known)
    except QlabError:
        return fetch.fetch(elsewhere, known)


def is_name(text: str) -> bool:
    """Whether a text reads like a model's name on the hub: owner/name."""
    return re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", text) is not None


def model(name: str, weights: bool = True) -> Path:
    """The folder of a hub model in Hugging Face's cache, downloaded where it is not there.

    Without `weights`: configuration and tokenizer only, some megabytes.
    QlabError: gated, unknown or not to be reached, or the disk is full.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
    from huggingface_hub.utils import disable_progress_bars

    if quiet():
        disable_progress_bars()
    own = token()
    try:
        found = snapshot_download(
            name,
            allow_patterns=_SMALL + _WEIGHTS * weights,
            token=own or False,  # never one that a login left on the disk
            local_files_only=network.hub_offline() or not network.reachable(constants.ENDPOINT),
        )
    except GatedRepoError as error:
        raise QlabError(_gated(name, own)) from error
    except RepositoryNotFoundError as error:
        raise QlabError(
            f"{name} is neither a local folder nor a model that the hub shows "
            f"{'to this HF_TOKEN' if own else 'without a token (HF_TOKEN)'}; check the name."
        ) from error
    except (HfHubHTTPError, OSError) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise QlabError(
                f"The disk ran full while downloading {name}; free some space, or set HF_HOME to a "
                "folder with more, and run again: what is there already is kept."
            ) from error
        raise QlabError(_absent(name, type(error).__name__)) from error
    return Path(found)


def token() -> str:
    """The hub's token from HF_TOKEN, else from Kaggle's secret of that name, or an empty text."""
    return os.environ.get("HF_TOKEN", "").strip() or kaggle_secret("HF_TOKEN")


def _absent(name: str, why: str) -> str:
    last = name.rsplit("/", 1)[-1]
    attach = (
        f"attach its Hugging Face folder as a dataset or model (Add Input; {LLAMA_ON_KAGGLE}) and "
        f"run qlab's cell again, which finds a folder named {last}, "
    )
    return (
        f"The hub did not give {name} ({why}) and it is not in the cache; "
        f"{attach if paths.kaggle() else ''}switch the network on (HF_HUB_OFFLINE=0; Kaggle: "
        "Settings, Internet), or pass a local folder as the parameter 'model'."
    )


def _gated(name: str, own: str) -> str:
    page = f"https://huggingface.co/{name}"
    if own:
        return (
            f"This HF_TOKEN has no access to {name}; accept its licence at {page} with the same "
            "account, and let the token read gated models."
        )
    return (
        f"{name} asks for a licence; accept it at {page}, make a token at "
        "https://huggingface.co/settings/tokens and set the variable HF_TOKEN to it (Kaggle: "
        "Add-ons, Secrets, label HF_TOKEN), or pass a local folder as the parameter 'model'."
    )
