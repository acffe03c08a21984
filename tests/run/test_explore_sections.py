"""Notebooks 01 to 05 end with an explore section of one shape."""

import re

import nbformat
import pytest
from conftest import NOTEBOOKS

STUDIES = [p for p in NOTEBOOKS if re.match(r"0[1-5]_", p.name)]


@pytest.mark.parametrize("notebook", STUDIES, ids=lambda p: p.stem)
def test_the_explore_section_asks_and_lets_move(notebook):
    cells = nbformat.read(notebook, 4).cells
    start, end = (
        next(i for i, cell in enumerate(cells) if cell.source.startswith(title))
        for title in ("## Explore", "## In practice")
    )
    words, code = cells[start:end][::2], cells[start:end][1::2]
    assert len(STUDIES) == 5 and 1 <= len(words) == len(code) <= 2
    for one in words:
        assert re.search(r"^Move .+\*\*Question:\*\* .+\?$", one.source, re.M | re.S)
        assert one.source.count("<details><summary>What one finds</summary>\n\n") == 1
    for one in code:
        assert re.search(r"^explore\.\w+\(.*\)$", one.source, re.M)
        assert "nbval-ignore-output" in one.metadata.tags, "widgets have ids of their own"
