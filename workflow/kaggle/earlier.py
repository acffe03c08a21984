"""What earlier runs made, found in their attached outputs, so that work goes on from there.

An artefact's address is a hash of all that decides its bytes, so one from another session is as
good as one's own, and one of other code or libraries is simply not asked for.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from qlab.core import disk
from qlab.core.cache import written_whole

DEEPEST = 7  # levels below /kaggle/input at which an output can begin
PARTIAL = ".partial-"  # a half quantized Llama, which goes on layer by layer


def homes(folder: Path) -> list[Path]:
    """Folders below `folder` that an earlier run had as QLAB_HOME: they hold build/artefacts."""
    found = []
    for here, folders, _ in os.walk(folder):
        if (Path(here) / "build" / "artefacts").is_dir():
            found.append(Path(here))
            folders.clear()
        elif len(Path(here).relative_to(folder).parts) >= DEEPEST:
            folders.clear()
    return sorted(found)


def take_over(earlier: Path, home: Path) -> str:
    """Bring what an earlier run made into `home`, without overwriting; returns a sentence.

    Copied where twice its bytes are free, because the next session gets this one's output alone;
    else whole artefacts are links, and only what is still written to is copied.
    """
    wanted = [p for p in _parts(earlier) if not (home / p).exists()]
    size = sum(_bytes(earlier / part) for part in wanted)
    copied = 2 * size <= disk.free(home)
    for part in wanted:
        if copied or PARTIAL in part.name or part.parts[0] != "build":
            _copy(earlier / part, home / part)
        else:
            (home / part).parent.mkdir(parents=True, exist_ok=True)
            (home / part).symlink_to(earlier / part)
    how = "copied" if copied else "linked, for there is no room to copy them"
    return (
        f"Found the output of an earlier run in {earlier}: {len(wanted)} things it made "
        f"({disk.in_words(size)}) are {how}, and are not made again."
        + ("" if copied else " Attach that output next time too.")
    )


def _parts(earlier: Path) -> Iterator[Path]:
    """What may be taken over, relative: artefacts, downloads, records and figures of profiles."""
    for pattern in ("build/artefacts/*/*", "build/downloads/*", "data/results/*", "figures/*"):
        for path in sorted(earlier.glob(pattern)):
            if not path.name.startswith("."):  # what a killed writer left
                yield path.relative_to(earlier)


def _bytes(path: Path) -> int:
    return disk.used(path) if path.is_dir() else path.stat().st_size


def _copy(source: Path, target: Path) -> None:
    """A copy that can be written to, whole or not at all."""
    with written_whole(target) as part:
        if source.is_dir():
            shutil.copytree(source, part, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source, part)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
