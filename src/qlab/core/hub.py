"""Models and LAMBADA from the network: safetensors and JSON only; no token is stored or shown."""

import errno
import os
import re
from pathlib import Path

from qlab.core import fetch, network, paths
from qlab.core.errors import QlabError
from qlab.core.progress import quiet
from qlab.core.secrets import kaggle_secret

# The same bytes in both places: EleutherAI/lambada_openai on the hub, and OpenAI's own copy.
LAMBADA_SHA256 = "4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226"
LAMBADA_ADDRESSES = (
    "https://huggingface.co/datasets/EleutherAI/lambada_openai/resolve/"
    "900124bf3b8235c6daf21033af9948b3f07346c4/data/lambada_test.jsonl",
    "https://openaipublic.blob.core.windows.net/gpt-2/data/lambada_test.jsonl",
)
_SMALL = [
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "vocab.txt"),
]
_WEIGHTS = ["model*.safetensors", "model.safetensors.index.json"]


def lambada() -> Path:
    """The 5,153 passages that `lambada_openai` names (1.8 MB), downloaded once."""
    return fetch.first(LAMBADA_ADDRESSES[network.hub_offline() :], f"sha256:{LAMBADA_SHA256}")


def is_name(text: str) -> bool:
    """Whether a text reads like a model's name on the hub: owner/name."""
    return re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", text) is not None


def token() -> str:
    """The hub's token from HF_TOKEN, else from Kaggle's secret of that name, or an empty text."""
    return os.environ.get("HF_TOKEN", "").strip() or kaggle_secret("HF_TOKEN")


def model(name: str, weights: bool = True) -> Path:
    """The folder of a hub model in Hugging Face's cache, downloaded where it is not there.

    Without `weights`: configuration and tokenizer only, some megabytes.
    QlabError: gated, unknown or not to be reached. A full disk stays the system's own error.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
    from huggingface_hub.utils import disable_progress_bars

    if quiet():
        disable_progress_bars()
    own, instead = token(), "or pass a local folder as the parameter 'model'."
    try:
        found = snapshot_download(
            name,
            allow_patterns=_SMALL + _WEIGHTS * weights,
            token=own or False,  # never one that a login left on the disk
            local_files_only=network.hub_offline() or not network.reachable(constants.ENDPOINT),
        )
    except GatedRepoError as error:
        reason = "this HF_TOKEN has no access to it" if own else "there is no HF_TOKEN"
        raise QlabError(
            f"{name} asks for a licence, and {reason}; accept it at https://huggingface.co/{name} "
            f"and set HF_TOKEN (Kaggle: Add-ons, Secrets) to a token of that account, {instead}"
        ) from error
    except RepositoryNotFoundError as error:
        shown = "to this HF_TOKEN" if own else "without a token (HF_TOKEN)"
        raise QlabError(f"The hub shows no {name} {shown}; check the name, {instead}") from error
    except (HfHubHTTPError, OSError) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        attach = f"attach its folder, named {name.rsplit('/', 1)[-1]} (Add Input), "
        raise QlabError(
            f"The hub did not give {name} ({type(error).__name__}) and it is not in the cache; "
            f"{attach if paths.kaggle() else ''}switch the network on (HF_HUB_OFFLINE=0; Kaggle: "
            f"Settings, Internet), {instead}"
        ) from error
    return Path(found)
