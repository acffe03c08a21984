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
QUICK_TABLE = """
01_measure: {experiment: measured, items: true, figures: [bars]}
02_judge: {experiment: judged, reads: [measured]}
03_alone:
"""
KEEP = """
import time
from qlab.core.cache import artefact

for number in range(8):
    def fill(folder):
        (folder / "half").write_text(str(number))
        time.sleep(0.2)
        (folder / "half").rename(folder / "whole")
    artefact("KIND", {"number": number}, fill)
"""
JUDGE = """
from qlab.core import records
from qlab.core.records import Record

read = records.read("measured", profile)["value"].iloc[0]
judged = [Record("judged", "m", "d", f"v{i}", "ap", read + i, "1") for i in range(99)]
records.write(judged, profile, {})
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


def quick(folder: Path) -> Path:
    """A project of three notebooks that take seconds; what is half has a file called `half`."""
    make(folder, QUICK_TABLE)
    write(folder, "01_measure", KEEP.replace("KIND", "first"), MEASURE)
    write(folder, "02_judge", JUDGE)
    write(folder, "03_alone", KEEP.replace("KIND", "third"))
    return folder
