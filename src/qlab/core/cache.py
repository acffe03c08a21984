"""Expensive files, each made once, whole or not at all, and keyed by a hash of what decides it."""

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

_LOCK = ".lock"  # held by whoever writes in a folder; released when that process ends
_YOUNG = 60  # seconds after which a new folder has surely been locked
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS}


def file_sha256(path: Path) -> str:
    """sha256 of a file, or of a folder's sorted file names and contents; OSError if neither."""
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    total = hashlib.sha256()
    for part in sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(f"{part.relative_to(path).as_posix()}\0{file_sha256(part)}\n".encode())
    return total.hexdigest()


def hash_json(value: object) -> str:
    """sha256 of a value as JSON; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of distributions, for a recipe or a provenance."""
    return {name: importlib.metadata.version(name) for name in packages}


@functools.cache
def code_sha256(module: str) -> dict[str, str]:
    """Hashes, by name, of the qlab module with this `__name__` and of all that it imports, directly
    or not. Cached, because a process does not load a module a second time either."""
    files = closure.imported(f"import {module}")
    if module not in files:  # such as __main__
        raise ValueError(f"{module} is no module of qlab, so its code has no hash.")
    return {name: file_sha256(file)[:16] for name, file in files.items()}


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `target` to write to (file or folder); rename it when complete.

    If the writer is killed, `target` is unchanged, and the next writer in that folder cleans up.
    QlabError, with `target` unchanged, if the folder cannot be written or the disk is full.
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
    """Remove a folder that a killed writer left: its lock is free, and it is not newly made."""
    with contextlib.suppress(OSError, Timeout):  # in use by another writer, or already gone
        if time.time() - folder.stat().st_mtime > _YOUNG:
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder)


def address(kind: str, recipe: dict[str, Any]) -> Path:
    """Where the artefact of this recipe lives: `build/artefacts/<kind>/<hash>`."""
    return paths.build() / "artefacts" / kind / hash_json(recipe)[:20]


def artefact(kind: str, recipe: dict[str, Any], make: Callable[[Path], None]) -> Path:
    """Return the folder that `make(folder)` fills, making it only if no complete one exists.
    `recipe` names all that the content depends on and is stored in the folder as `recipe.json`:
    comparing two of these shows why something was made again."""
    target = address(kind, recipe)
    if not target.is_dir():
        with written_whole(target) as part:
            part.mkdir()
            make(part)
            (part / "recipe.json").write_text(json.dumps(recipe, indent=2, sort_keys=True))
    return target
