"""The figures that workflow/notebooks.yaml names, each with caption, numbers and notebook."""

import base64
import struct
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml

from qlab.core import paths
from qlab.core.errors import QlabError

# Of files, for data URIs.
TYPES = {".png": "image/png", ".csv": "text/csv", ".json": "application/json"}


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it."""

    name: str  # of the file, without ending
    caption: str  # from workflow/notebooks.yaml
    image: str  # data URI
    width: int  # pixels, as it is shown: the file has two for each
    height: int  # pixels
    numbers: str  # data URI of the CSV of what was drawn


@dataclass(frozen=True)
class Chapter:
    """A notebook: its title, its question, and its figures."""

    path: Path  # of the notebook
    title: str
    question: str
    experiment: str  # whose records it writes; empty: none
    pictures: list[Picture]  # in the notebook's order
    missing: list[str]  # figures not drawn yet in this profile


def chapters(profile: str, root: Path) -> list[Chapter]:
    """A chapter for each notebook that workflow/notebooks.yaml under `root` names.

    Its `figures` are a mapping of names to captions.
    """
    listed = yaml.safe_load((root / "workflow" / "notebooks.yaml").read_text(encoding="utf-8"))
    return [_chapter(name, entry or {}, profile, root) for name, entry in listed.items()]


def _chapter(name: str, entry: dict, profile: str, root: Path) -> Chapter:
    path = root / "notebooks" / f"{name}.ipynb"
    lines = nbformat.read(path, 4).cells[0].source.splitlines()
    title = lines[0].removeprefix("# ")
    question = next((line.strip("*") for line in lines if line.endswith("?**")), "")
    captions = dict(entry.get("figures") or {}) if _captioned(entry, name) else {}
    there = [n for n in captions if _file(n, profile, ".png").is_file()]
    return Chapter(
        path, title, question, entry.get("experiment", ""),
        [picture(n, captions[n], profile) for n in there],
        [n for n in captions if n not in there],
    )  # fmt: skip


def _captioned(entry: dict, name: str) -> bool:
    found = entry.get("figures") or {}
    if not isinstance(found, dict) or not all(isinstance(c, str) and c for c in found.values()):
        raise QlabError(
            f"workflow/notebooks.yaml, {name}: 'figures' must give every figure a caption, "
            "as in `centernet_size: Bytes of each variant.`"
        )
    return True


def _file(name: str, profile: str, suffix: str) -> Path:
    return paths.figures(profile) / f"{name}{suffix}"


def picture(name: str, caption: str, profile: str) -> Picture:
    """A figure of a profile, with its files as data URIs."""
    png = _file(name, profile, ".png")
    width, height = struct.unpack(">II", png.read_bytes()[16:24])  # the IHDR chunk comes first
    numbers = data_uri(_file(name, profile, ".csv"))
    return Picture(name, caption, data_uri(png), width // 2, height // 2, numbers)


def data_uri(path: Path) -> str:
    """A file as an address that holds it (RFC 2397)."""
    coded = base64.b64encode(path.read_bytes()).decode()
    return f"data:{TYPES[path.suffix]};base64,{coded}"
