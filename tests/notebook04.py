"""Cells of notebook 04, run for a test: what is tested is what its reader sees."""

from types import SimpleNamespace

import nbformat
from conftest import ROOT

CELLS = nbformat.read(ROOT / "notebooks" / "04_weigh_the_evidence.ipynb", 4).cells
CODE = [cell.source for cell in CELLS if cell.cell_type == "code"]
PROSE = " ".join(" ".join(c.source for c in CELLS if c.cell_type == "markdown").split())


def run(until: str, **given) -> SimpleNamespace:
    """What the code cells define, up to the one that holds this text, at these parameters."""
    parameters, *others = CODE
    names: dict = {}
    exec(parameters, names)
    names |= given
    for cell in others[: next(i for i, cell in enumerate(others) if until in cell) + 1]:
        exec(cell, names)
    return SimpleNamespace(**names)
