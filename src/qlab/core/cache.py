"""Expensive files, made once, whole or not at all, and kept by a hash of all that decides them."""

import contextlib
import errno
import functools
import hashlib
import importlib.metadata
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from qlab.core import closure, paths
from qlab.core.errors import QlabError

_LOCK = ".lock"  # held by who writes in a folder; the system drops it with its process
_YOUNG = 60  # seconds in which a folder that was made is surely locked
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS}


def file_sha256(path: Path) -> str:
    """sha256 of a file; of a folder: of its files' names and contents, sorted. OSError if none."""
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    total = hashlib.sha256()
    for part in sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(f"{part.relative_to(path).as_posix()}\0{file_sha256(part)}\n".encode())
    return total.hexdigest()


def hash_json(value: object) -> str:
    """sha256 of a value as JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def check_drawn(what: str, content: bytes, known: str) -> None:
    """QlabError where the first of what is drawn from a seed hashes to another sha256 here than on
    the machines that the numbers of this project come from."""
    if hashlib.sha256(content).hexdigest() != known:
        raise QlabError(
            f"{what} came out different here (its first items hash to another sha256); install the "
            "exact versions of requirements.lock: Python, Pillow and numpy draw it."
        )


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of distributions, for a recipe or a provenance."""
    return {name: importlib.metadata.version(name) for name in packages}


@functools.cache
def code_sha256(module: str) -> dict[str, str]:
    """Hashes, by name, of a qlab module (its `__name__`) and of all that it imports, near or far.
    What a process has loaded it does not load again, so neither is this read twice."""
    files = closure.imported(f"import {module}")
    if module not in files:  # such as __main__
        raise ValueError(f"{module} is no module of qlab, so its code has no hash.")
    return {name: file_sha256(file)[:16] for name, file in files.items()}


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a temporary sibling to write to (a file or a folder) and rename it when whole.

    A killed writer leaves `target` as it was, and the next writer beside it removes the remains.
    QlabError, and `target` as it was, where the place cannot be written or the disk is full.
    """
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".part-*"):
            _remove_left(left)
        new = {"prefix": ".part-", "dir": folder, "ignore_cleanup_errors": True}
        with tempfile.TemporaryDirectory(**new) as made, FileLock(Path(made, _LOCK)):
            part = Path(made, target.name)
            yield part
            try:
                part.replace(target)
            except OSError as error:
                # Another run finished the same folder first: its copy is as good as ours.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        why = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        raise QlabError(
            f"{target} could not be written ({why}); what was there before is untouched. Free "
            "some space (build/ can go at any time), or set QLAB_HOME to a folder with more room "
            "that is yours, and run again."
        ) from error


def _remove_left(folder: Path) -> None:
    """Remove a killed writer's folder: nobody holds its lock, and it is not just being made."""
    with contextlib.suppress(OSError, Timeout):  # another's, or gone meanwhile
        if time.time() - folder.stat().st_mtime > _YOUNG:
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder)


def address(kind: str, recipe: dict[str, Any]) -> Path:
    """Where the artefact of this recipe lives: `build/artefacts/<kind>/<hash>`."""
    return paths.build() / "artefacts" / kind / hash_json(recipe)[:20]


def artefact(kind: str, recipe: dict[str, Any], make: Callable[[Path], None]) -> Path:
    """The folder that `make(folder)` fills, made only if no whole one is there. `recipe` names all
    that the content depends on, and is stored in the folder as `recipe.json`: two of them,
    compared, say why something was made anew."""
    target = address(kind, recipe)
    if not target.is_dir():
        with written_whole(target) as part:
            part.mkdir()
            make(part)
            (part / "recipe.json").write_text(json.dumps(recipe, indent=2, sort_keys=True))
    return target
