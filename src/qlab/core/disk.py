"""Whether what a run will write fits on the disk, asked before it starts."""

import shutil
from pathlib import Path

from qlab.core import paths
from qlab.core.errors import QlabError

KAGGLE_LIMIT = 20 * 10**9  # bytes that a session may leave in /kaggle/working
SPARE = 0.05  # share of an estimate added for what it leaves out: headers, records, figures


def free(folder: Path) -> int:
    """Bytes that can still be written to a folder, there or not; in /kaggle/working few."""
    there = next(p for p in (folder, *folder.parents) if p.exists())
    left = shutil.disk_usage(there).free
    working = paths.kaggle() and paths.kaggle() / "working"
    if working and working.resolve() in (there.resolve(), *there.resolve().parents):
        return max(0, min(left, KAGGLE_LIMIT - used(working)))
    return left


def used(folder: Path) -> int:
    """Bytes of all files below a folder; links count as what they are."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_symlink() or p.is_file())


def refuse(needed: int, what: str, instead: str) -> None:
    """QlabError where build/ has no room for `needed` bytes of `what`; `instead` is a way out."""
    if needed * (1 + SPARE) > (left := free(paths.build())):
        raise QlabError(
            f"{what} will take about {in_words(needed)} in {paths.build()}, where {in_words(left)} "
            f"can be written. {instead}, free some space, or set QLAB_HOME to a folder with more."
        )


def in_words(count: int) -> str:
    """Bytes as a person says them: "1.4 GB", "23 MB"."""
    small = f"{count / 1e6:.0f} MB" if count >= 10**6 else f"{count / 1e3:.0f} KB"
    return f"{count / 1e9:.1f} GB" if count >= 10**9 else small
