"""Notebooks 01 to 05 end with an explore section of one shape."""

import re

import nbformat
import pytest
from conftest import NOTEBOOKS

STUDIES = [p for p in NOTEBOOKS if re.match(r"0[1-5]_", p.name)]


@pytest.mark.parametrize("notebook", STUDIES, ids=lambda p: p.stem)
def test_the_explore_section_asks_and_lets_move(notebook):
    cells = nbformat.read(notebook, 4).cells
    texts = [c.source for c in cells]
    start = next(i for i, text in enumerate(texts) if text.startswith("## Explore"))
    end = next(i for i, text in enumerate(texts) if text.startswith("## In practice"))
    section = cells[start:end]
    assert "## What we found" in "\n".join(texts[:start]) and 2 <= len(section) <= 4
    assert "without a running notebook" in section[0].source
    for words, code in zip(section[::2], section[1::2], strict=True):
        assert (words.cell_type, code.cell_type) == ("markdown", "code")
        assert re.search(r"^Move .+\*\*Question:\*\* .+\?$", words.source, re.M | re.S)
        assert words.source.count("<details><summary>What one finds</summary>\n\n") == 1
        assert words.source.endswith("\n</details>") and "@" not in words.source
        assert re.search(r"^explore\.\w+\(.*\)$", code.source, re.M)
        assert "nbval-ignore-output" in code.metadata.tags, "widgets have ids of their own"


def test_all_five_have_one():
    assert len(STUDIES) == 5
