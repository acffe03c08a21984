"""What is attached under /kaggle/input, recognised by content, as a folder that QLAB_DATA can name.

Kaggle mounts an attached thing by its kind, owner and slug (it has changed how), and makers nest
their folders as they like; so nothing is found by its path. A thing that is there twice is named
and not chosen.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DEEPEST = 9  # levels below /kaggle/input; Kaggle's own mount points take six of them
IMAGES = ("val2017", "train2017")
# Parts of a mounted model's path that are no name: its framework and version.
_FRAMEWORKS = {"transformers", "pytorch", "keras", "tensorflow1", "tensorflow2", "tflite", "other"}
_USUAL_NAMES = ("Llama-3.2-3B",)  # as the hub writes them; Kaggle's paths are in lower case


class Found(NamedTuple):
    """A thing that was recognised."""

    kind: str  # what it is, in words
    place: str  # where it belongs in a folder named by QLAB_DATA
    path: Path  # where it is


def find(folder: Path) -> list[Found]:
    """All data and models below a folder of attached things, sorted by place and path.

    What lies below the project's own folder or an earlier run's is passed over.
    """
    return sorted((one for place in _folders(folder) for one in _recognised(folder, *place)),
                  key=lambda one: one[1:])  # fmt: skip


def _folders(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """(folder, names of folders in it, names of files in it), from the top."""
    for here, folders, files in os.walk(root):
        folder = Path(here)
        own = (folder / "build" / "artefacts").is_dir() or (folder / "src" / "qlab").is_dir()
        if own or len(folder.relative_to(root).parts) >= DEEPEST:
            folders.clear()
        yield folder, sorted(folders), files


def _recognised(root: Path, folder: Path, folders: list[str], files: list[str]) -> Iterator[Found]:
    for split in (name.removesuffix("2017") for name in IMAGES):
        if f"instances_{split}2017.json" in files:
            yield Found("annotations of COCO", f"coco/annotations/instances_{split}2017.json",
                        folder / f"instances_{split}2017.json")  # fmt: skip
    for name in IMAGES:
        if folder.name == name and any(file.lower().endswith(".jpg") for file in files[:100]):
            yield Found("images of COCO", f"coco/{name}", folder)
    for name in files:
        if re.fullmatch(r"lambada.*\.jsonl", name) and _has_text(folder / name):
            yield Found("passages of LAMBADA", "lambada/lambada_test.jsonl", folder / name)
        if name == "pretrainedResnet.h5":
            yield Found("MLPerf Tiny's ResNet-8", f"mlperf_tiny/{name}", folder / name)
    if "test_batch" in files and any(name.startswith("data_batch_") for name in files):
        yield Found("batches of CIFAR-10", "cifar10/cifar-10-batches-py", folder)
    weights = any(name.endswith(".safetensors") for name in files)
    if weights and "config.json" in files and (kind := _model_type(folder / "config.json")):
        name = _name(root, folder)
        yield Found(f"a language model ({kind}, model={name})", f"llm/{name}", folder)
    if "saved_model.pb" in files and "variables" in folders:
        kind = "a SavedModel (its path may be the parameter model)"
        yield Found(kind, f"detector/{_name(root, folder)}", folder)


def _has_text(file: Path) -> bool:
    """Whether the first line is a passage, {"text": ...}."""
    try:
        with file.open(encoding="utf-8") as stream:
            return "text" in json.loads(stream.readline())
    except (ValueError, TypeError):
        return False


def _model_type(config: Path) -> str:
    """`model_type` of a Hugging Face config.json, or nothing."""
    try:
        return str(json.loads(config.read_text(encoding="utf-8")).get("model_type", ""))
    except (ValueError, AttributeError):
        return ""


def _name(root: Path, folder: Path) -> str:
    """What to call a model: its folder, or, of a mounted Kaggle model, model and variation."""
    parts = list(folder.relative_to(root).parts)
    while len(parts) > 1 and (parts[-1] in ("saved_model", "model") or parts[-1].isdecimal()):
        parts.pop()
    if len(parts) > 2 and parts[-2].lower() in _FRAMEWORKS:
        parts[-1] = f"{parts[-3]}-{parts[-1]}"
    name = parts[-1] if parts else folder.name
    return next((usual for usual in _USUAL_NAMES if usual.lower() == name.lower()), name)


def view(found: list[Found], folder: Path) -> list[str]:
    """Fill `folder` with links in the layout of QLAB_DATA; a sentence for each thing.

    Of two things for one place none is taken, and the sentence says how to choose.
    """
    sentences = []
    for place in dict.fromkeys(one.place for one in found):
        same = [one for one in found if one.place == place]
        if len(same) > 1:
            both = " and ".join(str(one.path) for one in same)
            sentences.append(
                f"Found {same[0].kind} more than once, in {both}: none is used. Detach all but "
                "one, or give the path of one as a parameter."
            )
            continue
        link = folder / place
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(same[0].path)
        sentences.append(f"Found {same[0].kind} in {same[0].path}.")
    return sentences
