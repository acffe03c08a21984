"""What a notebook shows: its cells, its prose, and the lines that run what it gives away."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
from conftest import NOTEBOOKS


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


def run(begin: str, *wanted: str, **names) -> SimpleNamespace:
    """What its code cells define that hold these texts, in that order; `names` are there before."""
    code = [c.source for c in cells(begin, "code")]
    for text in wanted:
        exec(next(cell for cell in code if text in cell), names)
    return SimpleNamespace(**names)


def run_until(begin: str, text: str, **given) -> SimpleNamespace:
    """What its code cells define up to the one that holds a text, at these parameters."""
    parameters, *code = [c.source for c in cells(begin, "code")]
    names: dict = {}
    exec(parameters, names)
    names |= given
    for cell in code[: next(i for i, cell in enumerate(code) if text in cell) + 1]:
        exec(cell, names)
    return SimpleNamespace(**names)


def published() -> dict[str, tuple[str, float]]:
    """The ten effects of arXiv 2505.00816 as notebook 04 has them: intensity and belief of each."""
    [cell] = [c.source for c in cells("04_", "code") if "PUBLISHED = {" in c.source]
    exec(cell.split("six = ")[0], names := {})
    return names["PUBLISHED"]


def alone(begin: str, folders, also: str, given="yours", without=("qlab",)) -> list[str]:
    """What its lines print, and `also` after them, in a process of its own without these packages:
    of each folder that was taken along, and of what is given to the model."""
    [text] = [c.source for c in cells(begin) if "no qlab" in c.source]
    shown = text.partition("```python\n")[2].partition("```")[0]
    # What is None there, Python takes for a module that it cannot find.
    code = f"import json, sys\nsys.modules.update(dict.fromkeys({without!r}))\n"
    for folder in folders:
        named = rf"\1Path({str(folder)!r}), {given!r}"
        lines, found = re.subn(r"^(folder, \w+ = ).*$", named, shown, flags=re.M)
        assert found == 1
        code += lines + also + "\n"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()
