"""A notebook as a student has it: JupyterLab in Chromium, Run All, controls moved."""

import functools
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import chromium
import nbformat
import pytest
from conftest import ROOT, fresh_home
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

SECONDS = 120 * float(os.environ.get("QLAB_SLOWNESS", "3"))
NAME = "05_judge_the_claims"  # it has both kinds of controls
# A slider and a list: in which of the boxes of `live.follow`, how the label begins, how it is moved
# (a key, an entry), and what is told then.
MOVES = [
    (0, "points lost", Keys.ARROW_LEFT, "4.75 points"),
    (-1, "claim", "does not hold: int8_quarters_the_file", "does not hold: Weights of 8 bits"),
]
# What JupyterLab and IPython keep of a user: it must not change the test, nor be changed by it.
OWN_FOLDERS = ["IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"]
OWN_FOLDERS += ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"]
# What stands in the brackets before a cell: "", "*" or a number. A folded cell shows neither
# code nor prompt. One that is not yet drawn has neither, too, and has not run.
PROMPTS = """return [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].filter(c =>
  !c.querySelector('.jp-InputPlaceholder') &&
  c.querySelector('.cm-content')?.textContent.trim() !== '').map(c => (c
  .querySelector('.jp-InputPrompt')?.textContent ?? '').replace(/[^0-9*]/g, ''))"""
ERRORS = """return [...document.querySelectorAll(
  "[data-mime-type='application/vnd.jupyter.stderr']")].map(e => e.textContent)"""
# Before the kernel is connected, running a cell would ask which one to take.
READY = """return !!document.querySelector('.jp-Notebook .jp-CodeCell') && [...document
  .querySelectorAll('.jp-StatusBar-TextItem')].some(e => /[|] Idle/.test(e.textContent))"""
BOXES = """return [...document.querySelectorAll('.jp-OutputArea .widget-vbox')]
  .filter(b => b.querySelector('img.widget-image'))"""
# The address of a picture that is drawn; another picture has another one.
PICTURE = """const image = arguments[0].querySelector('img.widget-image');
  return image.naturalWidth > 99 ? image.src : ''"""


def wait(condition, seconds: float, what: str):
    """The condition's first true value; AssertionError if there is none within the seconds."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)
    return found


@pytest.fixture
def server(tmp_path):
    """JupyterLab as `make lab` starts it, with a home and settings of its own: address, token."""
    folder, token = tmp_path / "a room", secrets.token_hex(16)
    (folder / "notebooks").mkdir(parents=True)
    book = load_notebook_node(str(ROOT / "notebooks" / f"{NAME}.ipynb"))
    book = parameterize_notebook(book, {"profile": "smoke"})
    nbformat.write(book, folder / "notebooks" / f"{NAME}.ipynb")
    environment = {k: v for k, v in os.environ.items() if k != "CI"}
    environment |= {name: str(folder / "own" / name) for name in OWN_FOLDERS}
    call = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1"]
    call += [f"--LabApp.app_settings_dir={ROOT / 'workflow' / 'jupyterlab'}", "--allow-root"]
    call += ["--ServerApp.port=0", f"--IdentityProvider.token={token}", str(folder)]
    environment["QLAB_HOME"] = str(fresh_home(folder / "home"))
    with (folder / "log").open("w") as to:
        process = subprocess.Popen(call, env=environment, stdout=to, stderr=to)

    def address() -> str:
        assert process.poll() is None, f"JupyterLab did not start: {(folder / 'log').read_text()}"
        told = Path(environment["JUPYTER_RUNTIME_DIR"], f"jpserver-{process.pid}.json")
        return json.loads(told.read_text() or "{}").get("url", "") if told.is_file() else ""

    try:
        yield wait(address, 120, "JupyterLab to say where it listens"), token
    finally:
        process.terminate()  # it ends its kernels first
        process.wait(120)


def run_all(browser, server: tuple[str, str]) -> None:
    """Open the notebook, Run > Run All Cells, and wait until every cell was run or one failed."""
    (url, token), look = server, browser.execute_script
    browser.set_window_size(1400, 1000)
    browser.get(f"{url}lab/tree/notebooks/{NAME}.ipynb?token={token}")
    wait(lambda: look(READY), 120, "the notebook and its kernel")

    def finished() -> bool:  # a cell that failed leaves later ones unrun
        seen = look(PROMPTS)
        return "*" not in seen and any(seen) and (all(seen) or bool(look(ERRORS)))

    bar = browser.find_elements(By.CSS_SELECTOR, ".lm-MenuBar-item")
    next(item for item in bar if item.text.strip() == "Run").click()
    entry = ".lm-Menu-item[data-command='runmenu:run-all']"
    wait(lambda: browser.find_elements(By.CSS_SELECTOR, entry), 10, "the menu Run")[0].click()
    wait(lambda: "*" in look(PROMPTS) or finished(), 30, "the first cell to start")
    wait(finished, SECONDS, "the last cell to end")


def move(browser, box, description: str, to: str) -> None:
    """Press a key on the knob of the slider, or pick an entry of the list, named like this."""
    controls = box.find_elements(By.CSS_SELECTOR, ".widget-slider, .widget-dropdown")
    labels = [c.find_element(By.CSS_SELECTOR, ".widget-label").text for c in controls]
    [place] = [i for i, label in enumerate(labels) if label.startswith(description)]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", controls[place])
    if "widget-dropdown" in controls[place].get_attribute("class"):
        Select(controls[place].find_element(By.TAG_NAME, "select")).select_by_visible_text(to)
    else:
        controls[place].find_element(By.CSS_SELECTOR, ".noUi-handle").send_keys(to)


@pytest.mark.slow
def test_run_all_then_controls_move_text_and_picture(server):
    with chromium.opened() as browser:
        run_all(browser, server)
        assert browser.execute_script(ERRORS) == []
        for which, control, to, told in MOVES:
            box = browser.execute_script(BOXES)[which]
            sentence = box.find_element(By.CSS_SELECTOR, ".widget-html-content")
            seen = functools.partial(browser.execute_script, PICTURE, box)
            before = wait(seen, 30, "a picture")
            assert told not in sentence.text
            move(browser, box, control, to)
            wait(lambda s=seen, b=before: s() not in ("", b), 30, "another picture")
            assert told in sentence.text
