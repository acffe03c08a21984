"""A project of a few lines with the real Makefile, Snakefile and package, and real kernels."""

import shutil
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
STEPS = ("Snakefile", "exclusive.py", "remaining.py", "rewritten.py")
RAILS = ("Makefile", *(f"workflow/{name}" for name in STEPS))
PARAMETERS = 'profile: str = "smoke"  # how much to run\nsay: str = ""  # to be printed'
MEASURE = """
import pandas as pd
from qlab.core import items, plot, records
from qlab.core.records import Record

records.write([Record("measured", "m", "d", "v", "ap", 0.5, "1")], profile, {"say": say})
items.write("measured", profile, pd.DataFrame({"item": [1]}))
with plot.figure("bars", profile, pd.DataFrame({"x": [1]})) as (canvas, axes):
    axes.plot([1, 2])
"""


def make(folder: Path, table: str) -> Path:
    """The project without notebooks; `table` is its workflow/notebooks.yaml."""
    for part in ("notebooks", "workflow"):
        (folder / part).mkdir(parents=True)
    for name in RAILS:
        shutil.copy(ROOT / name, folder / name)
    (folder / "workflow" / "notebooks.yaml").write_text(table)
    for name in ("requirements.lock", "pyproject.toml"):
        (folder / name).touch()
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def write(project: Path, name: str, *cells: str) -> None:
    """A notebook of the project: the parameters' cell, and these."""
    tagged = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    book = new_notebook(cells=[tagged, *map(new_code_cell, cells)])
    nbformat.write(book, project / "notebooks" / f"{name}.ipynb")
