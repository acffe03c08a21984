"""The page that `make lab` opens: every notebook with its question, its time and its figure.

Made anew each time, from the notebooks themselves, so that it cannot go stale:
`python -m qlab.run.start_page` writes build/START.md and says where.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

from qlab.core import paths
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError

PROFILE = "mini"  # whose time is shown
_WORDS = """# What does quantization cost, and what does it buy?

Each notebook asks one question and computes its answer in front of you. Open one, read, and run it
cell by cell (Shift and Enter) or whole (*Run*, *Run All Cells*). Its first code cell holds the
parameters: change one, and run what is below.

**Where to start:** with 01 for images, 02 for text, 03 for training, 05 for the verdicts; with 00,
where there is one, if rounding to eight bits is new to you. 04 and 05 read what the others have
recorded, which is committed: nothing need be run before.
"""
_TRAINING = """## How the embedded models were made

These take long, and nothing else needs them: the trained weights are committed.
"""


class Entry(NamedTuple):
    """A notebook as the page shows it."""

    path: Path  # of the notebook
    title: str  # its heading
    question: str  # in bold below the heading
    picture: Path | None  # the figure in its first cell; None: none, or not drawn yet
    time: str  # that the default profile takes, in the notebook's words; empty: it does not say


def write(root: Path, target: Path) -> Path:
    """Write the start page of the project at `root`; returns `target`. Links are relative to it."""
    text = render(root, target.parent)
    with written_whole(target) as part:
        part.write_text(text, encoding="utf-8")
    return target


def render(root: Path, folder: Path) -> str:
    """The page in Markdown, as it will lie in `folder`."""
    shown = "\n".join(_row(entry(p), folder) for p in _notebooks(root / "notebooks"))
    training = "\n".join(_line(entry(p), folder) for p in _notebooks(root / "notebooks/training"))
    return f"{_WORDS}\n| | |\n|---|---|\n{shown}\n\n{_TRAINING}\n{training}\n"


def entry(path: Path) -> Entry:
    """A notebook's entry, from its words. QlabError where it has no title or no question."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    words = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    title = re.match(r"# (.+)", words[0])
    question = re.search(r"^\*\*(.+?\?)\*\*$", words[0], re.M | re.S)
    if not (title and question):
        raise QlabError(
            f"{path} must begin with a title (# ...) and a question in bold (**...?**)."
        )
    picture = re.search(r"!\[.*?\]\((.+?)\)", words[0])
    file = path.parent / picture[1] if picture else None
    there = file if file is not None and file.is_file() else None
    return Entry(path, title[1], " ".join(question[1].split()), there, _time("\n".join(words)))


def _time(words: str) -> str:
    """What the table of profiles says in its column on time, in the default profile's row."""
    rows = [[cell.strip() for cell in line.split("|")] for line in words.splitlines()]
    head = next((row for row in rows if row[1:2] == ["profile"]), [])
    column = next((i for i, name in enumerate(head) if name.startswith("time")), None)
    mine = next((row for row in rows if row[1:2] and row[1].startswith(f"`{PROFILE}`")), None)
    return mine[column] if mine and column else ""


def _notebooks(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.ipynb"))


def _row(e: Entry, folder: Path) -> str:
    image = f'<img src="{_link(e.picture, folder)}" width="300" alt="">' if e.picture else ""
    link = f"[**{e.path.stem[:2]} {e.title}**]({_link(e.path, folder)})"
    return f"| {image} | {link}<br>{e.question}{f'<br>*{e.time}*' if e.time else ''} |"


def _line(e: Entry, folder: Path) -> str:
    return f"- [{e.title}]({_link(e.path, folder)}): {e.question} ({e.time})"


def _link(path: Path, folder: Path) -> str:
    """A link to a file, with / and relative to the folder that the page lies in."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def main() -> None:
    """Write build/START.md; what is wrong is one sentence."""
    root = paths.checkout()
    try:
        if root is None:
            raise QlabError(
                "The start page is made in a checkout, from its notebooks; here is none."
            )
        print(write(root, root / "build" / "START.md"))
    except QlabError as error:
        sys.exit(f"qlab: {error}")


if __name__ == "__main__":
    main()
