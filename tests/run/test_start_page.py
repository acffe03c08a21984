"""The start page of `make lab`: complete, and seen in a real JupyterLab."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from urllib.parse import unquote

import a_clone
import chromium
import lab
import pytest
from conftest import NOTEBOOKS, ROOT
from selenium.webdriver.common.by import By

from qlab.core.errors import QlabError
from qlab.run import start_page

SECONDS = 60 * float(os.environ.get("QLAB_SLOWNESS", "3"))


def test_every_notebook_is_there_with_question_time_and_picture():
    page = start_page.render(ROOT, ROOT / "build")
    for notebook in NOTEBOOKS:
        entry = start_page.entry(notebook)
        line = next(line for line in page.splitlines() if f"/{notebook.name})" in line)
        assert entry.title in line and entry.question in line and entry.time in line
        assert entry.time and entry.picture
        assert (notebook.parent.name == "training") != (entry.picture.name in line)


def test_a_notebook_without_question_is_refused(tmp_path):
    cells = [{"cell_type": "markdown", "source": ["# A title"]}]
    (tmp_path / "06_a.ipynb").write_text(json.dumps({"cells": cells}))
    with pytest.raises(QlabError, match="06_a.ipynb must begin with a title"):
        start_page.entry(tmp_path / "06_a.ipynb")


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The address at which the `make lab` of a copy opens the browser."""
    project = a_clone.of_the_project(tmp_path / "a clone", monkeypatch)
    for name in lab.OWN_FOLDERS:
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    options = "--no-browser --ServerApp.port=0 --IdentityProvider.token=letmein --allow-root"
    call = [*a_clone.MAKE, "lab", f"ARGS={options} --ServerApp.ip=127.0.0.1"]
    log = tmp_path / "log"
    with log.open("w") as target:
        made = subprocess.Popen(
            call, cwd=project, stdout=target, stderr=target, start_new_session=True
        )
    try:
        yield address(tmp_path / "jupyter_runtime_dir", log)
    finally:
        with contextlib.suppress(ProcessLookupError):  # as soon as nobody is left
            os.killpg(made.pid, signal.SIGTERM)
            try:
                made.wait(120)  # make's end is not yet that of the server, which first ends kernels
                for _ in range(100):
                    os.killpg(made.pid, 0)
                    time.sleep(0.1)
            finally:
                os.killpg(made.pid, signal.SIGKILL)


def address(runtime: Path, log: Path) -> str:
    """What a browser would open: the default address, once the server answers."""

    def told() -> str:
        for file in runtime.glob("jpserver-*.json"):
            return json.loads(file.read_text() or "{}").get("url", "")
        return ""

    url = lab.wait(told, SECONDS, f"JupyterLab: {log}")
    with urllib.request.urlopen(f"{url}?token=letmein", timeout=60) as answer:
        return answer.url


@pytest.mark.slow
def test_make_lab_opens_on_the_page_and_its_links_open_notebooks(served):
    with chromium.opened() as browser:
        browser.set_window_size(1400, 1000)
        browser.get(served)
        page = ".jp-MarkdownViewer"
        lab.wait(lambda: browser.find_elements(By.CSS_SELECTOR, f"{page} td a"), SECONDS, "page")
        loaded = "return [...document.querySelectorAll('.jp-MarkdownViewer img')].map(i => "
        loaded += "i.complete && i.naturalWidth > 0)"
        listed = len([n for n in NOTEBOOKS if n.parent.name == "notebooks"])
        lab.wait(lambda: browser.execute_script(loaded) == [True] * listed, SECONDS, "pictures")
        time.sleep(1)  # the layout, for those who look at the picture
        if place := os.environ.get("QLAB_SCREENSHOTS"):
            browser.save_screenshot(str(Path(place, "start_page.png")))
        link = browser.find_element(By.CSS_SELECTOR, f"{page} td a")
        link.click()
        cells = ".jp-NotebookPanel .jp-MarkdownOutput img"
        lab.wait(lambda: browser.find_elements(By.CSS_SELECTOR, cells), SECONDS, "notebook")
        opened = browser.find_elements(By.CSS_SELECTOR, ".lm-TabBar-tabLabel")
        assert unquote(link.text)[:2] in {label.text[:2] for label in opened}
