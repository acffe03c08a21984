"""What a notebook shows: its cells, its prose, and the lines that run what it gives away."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
from conftest import NOTEBOOKS

# In front of the lines: what is not to be imported.
WITHOUT = """
import json, sys
class Without:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {names}:
            raise ImportError(f"{name} is not here")
sys.meta_path.insert(0, Without())
"""


def notebook(begin: str) -> Path:
    """The one whose name begins so."""
    [found] = [p for p in NOTEBOOKS if p.name.startswith(begin)]
    return found


def cells(begin: str, kind: str = "") -> list:
    """Its cells, of a kind or all."""
    found = nbformat.read(notebook(begin), 4).cells
    return [c for c in found if kind in ("", c.cell_type)]


def prose(begin: str) -> str:
    """Its markdown in one line."""
    return " ".join(" ".join(c.source for c in cells(begin, "markdown")).split())


def alone(begin: str, folders, also: str, given="yours", without=("qlab",)) -> list[str]:
    """What its lines print, and `also` after them, in a process of its own without these packages:
    of each folder that was taken along, and of what is given to the model."""
    [text] = [c.source for c in cells(begin) if "no qlab" in c.source]
    shown, code = text.partition("```python\n")[2].partition("```")[0], WITHOUT
    for folder in folders:
        named = rf"\1Path({str(folder)!r}), {given!r}"
        lines, found = re.subn(r"^(folder, \w+ = ).*$", named, shown, flags=re.M)
        assert found == 1
        code += lines + also + "\n"
    call = [sys.executable, "-I", "-c", code.replace("{names}", repr(without))]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()
