"""The tensors of a model folder: safetensors, read one at a time. Never a pickle."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from qlab.core.errors import QlabError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


class Weights:
    """The tensors of a folder's safetensors file or shards, one copied out at a time.

    A file is mapped only while one of its tensors is read, so that what was read once does not
    stay in the resident memory of this process. `files` says which one a tensor lies in.
    QlabError: a file is missing or cut short.
    """

    def __init__(self, folder: Path):
        self.folder, self.files = folder, {}
        for path in _files(folder):
            try:
                with safe_open(path, "pt") as file:
                    self.files |= dict.fromkeys(file.keys(), path)
            except (SafetensorError, FileNotFoundError) as error:
                raise QlabError(
                    f"{path} is no whole safetensors file ({error}); get the whole folder again."
                ) from error

    def read(self, name: str) -> torch.Tensor:
        """One tensor as stored, copied to memory of its own on the CPU."""
        if name not in self.files:
            raise QlabError(f"The weights in {self.folder} lack the tensor {name}; get them again.")
        with safe_open(self.files[name], "pt") as file:
            return file.get_tensor(name).clone()


def _files(folder: Path) -> list[Path]:
    """The single safetensors file or the shards that the index names, in the folder itself."""
    index = folder / INDEX
    names = json.loads(index.read_text())["weight_map"].values() if index.is_file() else [WEIGHTS]
    files = [folder / name for name in sorted({Path(name).name for name in names})]
    if not files[0].is_file() and (pickle := next(folder.glob("*.bin"), None)):
        raise QlabError(
            f"{folder} has its weights as pickle only ({pickle.name}), which can run any code when "
            "read and is refused; get the safetensors files."
        )
    return files
