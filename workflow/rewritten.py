"""Tell whether a step wrote its outputs anew, without trusting the clock.

    python workflow/rewritten.py SEEN FILE [FILE ...]           note the files as they are, in SEEN
    python workflow/rewritten.py --check SEEN FILE [FILE ...]   fail on one that is still the same

An output may be there already, for records and figures are committed. A file that was written anew
is another one to the file system, or has another time; a later one it need not have, where the
machine's clock was set back meanwhile.
"""

import json
import sys
from pathlib import Path


def note(seen: str, *files: str) -> None:
    """Keep what the files are now."""
    Path(seen).parent.mkdir(parents=True, exist_ok=True)
    Path(seen).write_text(json.dumps({file: _identity(file) for file in files}), encoding="utf-8")


def check(seen: str, *files: str) -> None:
    """Exit with a sentence if a file is missing, or what it was when it was noted."""
    before = json.loads(Path(seen).read_text(encoding="utf-8"))
    for file in files:
        if _identity(file) in (None, before[file]):
            sys.exit(f"{file} was not written by its notebook; mend workflow/notebooks.yaml.")


def _identity(file: str) -> list[int] | None:
    """The file's number, time (ns) and size; None where there is no such file."""
    try:
        found = Path(file).stat()
    except FileNotFoundError:
        return None
    return [found.st_ino, found.st_mtime_ns, found.st_size]


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        check(*sys.argv[2:])
    else:
        note(*sys.argv[1:])
