"""START.md, which `make lab` opens: every notebook is there in its own words; no link is dead."""

import re
import shutil
from urllib.parse import unquote

import chromium
import lab
import nbformat
import pytest
from conftest import NOTEBOOKS, ROOT, fresh_home
from selenium.webdriver.common.by import By

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


@pytest.mark.slow
def test_in_jupyterlab_pictures_load_and_a_link_opens_its_notebook(tmp_path):
    shutil.copy(ROOT / "START.md", tmp_path)
    for name in ("figures", "notebooks"):  # links are not served
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.svg"))
    home = fresh_home(tmp_path / "home")
    with lab.serving(tmp_path, home, tmp_path / "own") as server, chromium.opened() as browser:
        browser.set_window_size(*lab.WINDOW)
        browser.get(f"{server.url}lab/tree/START.md?token={server.token}")
        loaded = "return [...document.querySelectorAll('.jp-MarkdownViewer img')].map(i => "
        loaded += "i.complete && i.naturalWidth > 0)"
        count = len(NOTEBOOKS)
        lab.wait(lambda: browser.execute_script(loaded) == [True] * count, 120, "pictures")
        link = browser.find_element(By.CSS_SELECTOR, ".jp-MarkdownViewer td a")
        link.click()
        cells = ".jp-NotebookPanel .jp-MarkdownOutput img"
        lab.wait(lambda: browser.find_elements(By.CSS_SELECTOR, cells), 120, "notebook")
        opened = browser.find_elements(By.CSS_SELECTOR, ".lm-TabBar-tabLabel")
        assert unquote(link.text)[:2] in {label.text[:2] for label in opened}
