"""The files of a model folder: JSON, and safetensors read one tensor at a time. Never a pickle."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from qlab.core.errors import QlabError

if TYPE_CHECKING:
    import torch

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


class Weights:
    """The tensors of a folder's safetensors file or shards, one copied out at a time.

    A file is mapped only while one of its tensors is read, so that what was read once does not
    stay in the resident memory of this process. QlabError: no such files, or one cut short.
    """

    def __init__(self, folder: Path):
        self.folder, self._file = folder, {}  # tensor name -> file
        for path in _files(folder):
            with _opened(path) as file:
                self._file |= dict.fromkeys(file.keys(), path)
        self.names = sorted(self._file)

    def read(self, name: str) -> "torch.Tensor":
        """One tensor as stored, copied to memory of its own on the CPU."""
        if name not in self._file:
            raise QlabError(f"The weights in {self.folder} lack the tensor {name}; get them again.")
        with _opened(self._file[name]) as file:
            return file.get_tensor(name).clone()


def read_json(folder: Path, name: str, why: str = "this is no Hugging Face model folder") -> dict:
    """A JSON object from a file of the folder; QlabError: no file, no JSON, no object."""
    path = folder / name
    if not path.is_file():
        raise QlabError(f"{folder} has no {name}, so {why}; get the whole folder again.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise QlabError(f"{path} is not JSON ({error}); get it again.") from error
    if not isinstance(found, dict):
        raise QlabError(f"{path} holds a JSON {type(found).__name__}, not an object; get it again.")
    return found


def _files(folder: Path) -> list[Path]:
    """The safetensors files of the index or the single one."""
    names = [WEIGHTS]
    if (folder / INDEX).is_file():
        names = sorted(set(read_json(folder, INDEX).get("weight_map", {}).values()))
    if outside := [name for name in names if Path(name).name != name]:
        raise QlabError(
            f"{folder / INDEX} names the weight file {outside[0]!r}; expected a file of the same "
            "folder for every tensor. Get the whole folder again."
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing and (pickle := next(folder.glob("*.bin"), None)):
        raise QlabError(
            f"{folder} has its weights as pickle only ({pickle.name}), which can run any code when "
            "read and is refused; get the safetensors files."
        )
    if missing or not names:
        raise QlabError(
            f"{folder} lacks {len(missing) or 'all'} of its {len(names)} weight files, first "
            f"{(missing or [WEIGHTS])[0]}; get the whole folder again."
        )
    return [folder / name for name in names]


def _opened(path: Path):
    """A safetensors file, open; one that is cut short or none at all is a QlabError."""
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise QlabError(
            f"{path} is no whole safetensors file ({error}), perhaps cut short; get it again."
        ) from error
