"""Installing what Kaggle's image lacks, and nothing else: no package of the image is replaced.

What may be missing stands in workflow/kaggle/missing.txt with its version. It comes from wheels in
an attached dataset, else from PyPI, always with `--no-deps`.
"""

import contextlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from qlab.core import network
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError

PYPI = "https://pypi.org/simple/"
NAMED = ("torch", "tensorflow", "tf_keras", "keras", "numpy", "transformers", "peft", "pandas")
SOURCE_ONLY = "auto-gptq"  # its wheels end at Python 3.11
PURE = {"BUILD_CUDA_EXT": "0"}  # without its kernels, which qlab does not use, it is pure Python
DEEPEST = 6  # levels below /kaggle/input at which wheels are looked for


def installed() -> dict[str, str]:
    """Version of every installed distribution, by its normalized name."""
    found = importlib.metadata.distributions()
    return {plain(one.metadata["Name"]): one.version for one in found if one.metadata["Name"]}


def plain(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def listed(file: Path) -> dict[str, str]:
    """`name==version` lines of a file, comments left out."""
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return {plain(name): version for name, _, version in (x.partition("==") for x in lines if x)}


def wheel_folders(inputs: Path) -> list[Path]:
    """Folders below `inputs` that hold a wheel of qlab."""
    patterns = ("*/" * depth + "qlab-*.whl" for depth in range(DEEPEST))
    return sorted({file.parent for pattern in patterns for file in inputs.glob(pattern)})


def install(project: Path, inputs: Path) -> list[str]:
    """Install qlab from `project` and what is missing for it; returns what was done, in sentences.

    QlabError where neither wheels nor a network are there, or a package of the image changed.
    """
    before = installed()
    wanted = listed(project / "workflow" / "kaggle" / "missing.txt")
    missing = {name: version for name, version in wanted.items() if name not in before}
    folders = wheel_folders(inputs)
    if len(folders) > 1:
        raise QlabError(
            f"Wheels of qlab lie in {' and in '.join(map(str, folders))}; detach all but one."
        )
    requirements = [f"{name}=={version}" for name, version in missing.items()]
    if folders:
        pip("install", "--no-index", "--find-links", folders[0], "qlab", *requirements)
        source = f"the wheels in {folders[0]}"
    elif network.reachable(PYPI):
        with sources(project) as copy:
            pip("install", copy, *(one for one in requirements if not one.startswith(SOURCE_ONLY)))
        if SOURCE_ONLY in missing:
            pip("install", "--no-build-isolation", f"{SOURCE_ONLY}=={missing[SOURCE_ONLY]}")
        source = "PyPI"
    else:
        raise QlabError(
            "There are neither wheels of qlab under /kaggle/input nor a network: attach the "
            "dataset that `python -m qlab.kaggle bundle` makes (Add Input), or switch the internet "
            "on (Settings)."
        )
    _refuse_changes(before, installed())
    _refuse_another(project)
    kept = ", ".join(f"{name} {before[plain(name)]}" for name in NAMED if plain(name) in before)
    names = ", ".join(["qlab", *missing])
    return [f"Installed {names} from {source}.", f"The image's own stay as they were: {kept}."]


@contextlib.contextmanager
def sources(project: Path) -> Iterator[Path]:
    """A copy of what a wheel is made from: building writes beside it, and packs leftovers."""
    with tempfile.TemporaryDirectory() as scratch:
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(project / "src", Path(scratch, "src"), ignore=ignored)
        for name in ("pyproject.toml", "LICENSE"):
            shutil.copy(project / name, scratch)
        yield Path(scratch)


def pip(command: str, *words: str | Path) -> None:
    """Run pip without dependencies and without kernels; QlabError with what it said last."""
    call = [sys.executable, "-m", "pip", command, "--quiet", "--no-deps", *map(str, words)]
    done = subprocess.run(call, capture_output=True, text=True, env={**os.environ, **PURE})
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise QlabError(f"`pip {command} {' '.join(map(str, words))}` failed: {last[0]}")


def _refuse_changes(before: dict[str, str], after: dict[str, str]) -> None:
    changed = [
        f"{name} {version} to {after.get(name, 'nothing')}"
        for name, version in before.items()
        if name != "qlab" and after.get(name) != version
    ]
    if changed:
        raise QlabError(
            f"Installing changed packages of the image ({', '.join(changed)}), which it must not: "
            "restart the session, and report it."
        )


def _refuse_another(project: Path) -> None:
    """Refuse a wheel that was made from another state of the project."""
    importlib.invalidate_caches()
    package = Path(importlib.metadata.distribution("qlab").locate_file("qlab"))
    mine, theirs = (_code(folder) for folder in (package, project / "src" / "qlab"))
    if mine != theirs:
        differ = sorted(name for name in mine | theirs if mine.get(name) != theirs.get(name))
        raise QlabError(
            f"The installed qlab is not the one in {project} ({', '.join(differ[:3])}); attach "
            "wheels and project of one bundle (python -m qlab.kaggle bundle)."
        )


def _code(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): file_sha256(p) for p in folder.rglob("*.py")}
