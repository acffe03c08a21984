"""START.md, which `make lab` opens: every notebook is there in its own words; no link is dead."""

import re

import nbformat
import pytest
from conftest import NOTEBOOKS, ROOT

START = (ROOT / "START.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_notebook_is_there_with_title_question_time_and_figure(notebook):
    path = notebook.relative_to(ROOT).as_posix()
    (row,) = (line for line in START.splitlines() if f"]({path})" in line)
    texts = [c.source for c in nbformat.read(notebook, 4).cells if c.cell_type == "markdown"]
    title = texts[0].splitlines()[0].removeprefix("# ")
    question = re.search(r"^\*\*(.+?\?)\*\*$", texts[0], re.M | re.S)[1].replace("\n", " ")
    assert f"{title}**]" in row and f"<br>{question}<br>" in row
    (time,) = re.findall(r"\*`mini`: (.+?)\* \|$", row)
    mini = [line for text in texts for line in text.splitlines() if line.startswith("| `mini`")]
    assert f"| {time} |" in mini[0]
    assert re.search(r"\((?:\.\./)+(figures/.+?)\)", texts[0])[1] in row


def test_every_link_and_picture_is_there():
    places = re.findall(r'\]\((.+?)\)|src="(.+?)"', START)
    assert len(places) == 2 * len(NOTEBOOKS)
    assert [p for p in map("".join, places) if not (ROOT / p).is_file()] == []
