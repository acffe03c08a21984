"""Check, before a run starts, whether what it will write fits on the disk."""

import shutil
from pathlib import Path

from qlab.core import paths
from qlab.core.errors import QlabError

KAGGLE_LIMIT = 20 * 10**9  # bytes that a session may leave in /kaggle/working


def free(folder: Path) -> int:
    """Bytes that can still be written to a folder, existing or not; /kaggle/working has a limit."""
    there = next(p for p in (folder, *folder.parents) if p.exists()).resolve()
    left = shutil.disk_usage(there).free
    working = paths.kaggle() and (paths.kaggle() / "working").resolve()
    if working and there.is_relative_to(working):
        return max(0, min(left, KAGGLE_LIMIT - used(working)))
    return left


def used(folder: Path) -> int:
    """Bytes of all files below a folder; a link counts with its own size, not its target's."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_symlink() or p.is_file())


def refuse(needed: int, what: str, instead: str) -> None:
    """Raise QlabError if build/ lacks room for `needed` bytes of `what`; `instead` is a way out."""
    if 1.05 * needed > (left := free(paths.build())):  # 5 % for headers, records, figures
        needs, has = (f"{n / 1e6:,.0f} MB" for n in (needed, left))
        raise QlabError(
            f"{what} will take about {needs} in {paths.build()}, where {has} can be written. "
            f"{instead}, free some space, or set QLAB_HOME to a folder with more."
        )
