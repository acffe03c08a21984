"""Expensive files, kept by content: made once, whole or not at all.

An artefact's address is a hash of everything that decides its bytes: its
recipe, the hashes of its inputs and the versions of the libraries that make it.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qlab.core import closure, paths
from qlab.core.errors import QlabError

_YOUNG = 60  # seconds in which a folder that was made is surely locked


def file_sha256(path: Path) -> str:
    """sha256 of a file; of a folder: of its files' names and contents, sorted."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    total = hashlib.sha256()
    for part in sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(f"{part.relative_to(path).as_posix()}\0{file_sha256(part)}\n".encode())
    return total.hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of distributions, for a recipe or a provenance."""
    return {name: importlib.metadata.version(name) for name in packages}


@functools.cache
def code_sha256(module: str) -> str:
    """Hash of a qlab module (its `__name__`) and of every module it imports, near or far.

    An edit of any of them makes another artefact. What a process has loaded it does not load again,
    so neither is this read twice.
    """
    source = closure.source_of(module)
    total = hashlib.sha256()
    for file in sorted({source, *closure.module_files(source)}):
        total.update(f"{file_sha256(file)}\n".encode())
    return total.hexdigest()


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a temporary sibling to write to (a file or a folder) and rename it when whole.

    A killed writer leaves `target` as it was, and the next writer beside it removes the remains.
    Raises QlabError, and leaves `target` as it was, when the place cannot be written or the disk is
    full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _own_folder(target.parent) as folder:
            yield folder / target.name
            _replace(folder / target.name, target)
    except OSError as error:
        if sentence := _about_writing(error, target):
            raise QlabError(sentence) from error
        raise


@contextlib.contextmanager
def _own_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, locked while its writer lives; what killed ones left is removed.

    The operating system drops a lock with its process. Where it knows no locks, the leavings stay.
    """
    for left in parent.glob(".part-*"):
        _remove_left(left)
    folder = Path(tempfile.mkdtemp(prefix=".part-", dir=parent))
    lock = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None where it cannot be had."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # removed meanwhile, or another user's
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_left(folder: Path) -> None:
    """Remove a killed writer's folder: nobody holds it, and it is not just being made."""
    with contextlib.suppress(FileNotFoundError):
        if time.time() - folder.stat().st_mtime < _YOUNG:
            return
    if (lock := _lock(folder)) is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _about_writing(error: OSError, target: Path) -> str | None:
    """What an error means for writing `target`; None for one that has to do with other files."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    if (
        not full
        and error.errno != errno.EFBIG
        and error.filename
        and not _near(Path(error.filename), target)
    ):
        return None
    if full:
        return (
            f"The disk ran full while writing {target}; what was there before is untouched. "
            "Free some space (build/ can be deleted at any time) and run again."
        )
    if error.errno == errno.EFBIG:
        return (
            f"{target} is larger than a file may be here ({error.strerror}); what was there before "
            "is untouched. Raise the limit (ulimit -f), or set QLAB_HOME to another disk."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{target.parent} cannot be written ({error.strerror}); nothing was changed. "
            "Make it writable, or set QLAB_HOME to a folder that is."
        )
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return (
            f"{error.filename or target.parent} is in the way: a folder is needed there to write "
            f"{target.name}. Move it away and run again; nothing was changed."
        )
    return None


def _near(path: Path, target: Path) -> bool:
    """Whether a path is the target's folder, above it or within it."""
    folder = target.parent
    return path == folder or path in folder.parents or folder in path.parents


def _replace(part: Path, target: Path) -> None:
    """Move a finished file or folder to its place; a folder that is already there stays."""
    if not part.is_dir():
        os.replace(part, target)
        return
    try:
        part.rename(target)
    except OSError as error:
        # Another run finished the same content first: its copy is as good as ours.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def address(kind: str, recipe: dict[str, Any]) -> Path:
    """Where the artefact of this recipe lives: `build/artefacts/<kind>/<hash>`."""
    text = json.dumps(recipe, sort_keys=True)
    return paths.build() / "artefacts" / kind / hashlib.sha256(text.encode()).hexdigest()[:20]


def artefact(kind: str, recipe: dict[str, Any], make: Callable[[Path], None]) -> Path:
    """The folder that `make(folder)` fills, made only if no whole one is there.

    `recipe` must name everything the content depends on; it is stored beside
    the content as `recipe.json`.
    """
    target = address(kind, recipe)
    if not target.is_dir():
        with written_whole(target) as part:
            part.mkdir()
            make(part)
            (part / "recipe.json").write_text(json.dumps(recipe, indent=2, sort_keys=True))
    return target


def made(target: Path, recipe_file: str, recipe: dict[str, Any]) -> bool:
    """Whether the folder `target` is there, made by just this recipe, kept in `recipe_file`.

    For folders whose address the caller chose. QlabError where something else is in the way.
    """
    if not target.exists():
        return False
    path = target / recipe_file
    if path.is_file() and json.loads(path.read_text()) == recipe:
        return True
    raise QlabError(
        f"{target} exists already and was made otherwise; remove it or choose another target."
    )
