"""The fast notebooks as a student has them: JupyterLab in Chromium, Run All, controls moved."""

import base64
import functools
import json
import os
import secrets
import shutil
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
# By notebook, the controls that are moved: in which of its boxes of `live.follow`, how its label
# begins, how it is moved (a key for a slider, an entry of a list), and what is told then.
MOVES = {
    "00_quantize_one_layer_by_hand": [(1, "scales", Keys.ARROW_LEFT, "per tensor")],
    "04_weigh_the_evidence": [(-1, "threshold", Keys.END, "threshold 100%")],
    "05_judge_the_claims": [
        (0, "points lost", Keys.ARROW_LEFT, "4.75 points"),
        (-1, "claim", "does not hold: int8_quarters_the_file", "does not hold: Weights of 8 bits"),
    ],
}
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
PICTURE = """
const [box, done] = arguments, image = box.querySelector("img.widget-image");
const read = async () => {
  const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
  return btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(""));
};
(image.complete ? read() : image.decode().then(read)).then(done, () => done(""));
"""


def wait(condition, seconds: float, what: str):
    """The condition's first true value; AssertionError if there is none within the seconds."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """JupyterLab as `make lab` starts it, on notebooks beside the committed figures: its address,
    and its token. It has a home to write to, and settings of its own; it is gone at the end."""
    folder, token = tmp_path_factory.mktemp("a room"), secrets.token_hex(16)
    shutil.copytree(ROOT / "figures", folder / "figures", ignore=shutil.ignore_patterns("*.svg"))
    (folder / "notebooks").mkdir()
    for name in MOVES:
        book = load_notebook_node(str(ROOT / "notebooks" / f"{name}.ipynb"))
        book = parameterize_notebook(book, {"profile": "smoke"})
        nbformat.write(book, folder / "notebooks" / f"{name}.ipynb")
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


def run_all(browser, server: tuple[str, str], name: str) -> None:
    """Open a notebook, Run > Run All Cells, and wait until every cell was run or one failed."""
    (url, token), look = server, browser.execute_script
    browser.set_window_size(1400, 1000)
    # A workspace of its own, or the notebook before would be restored beside it.
    browser.get(f"{url}lab/workspaces/{name}/tree/notebooks/{name}.ipynb?token={token}")
    wait(lambda: look(READY), 120, f"{name} and its kernel")

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


def picture(browser, box) -> bytes:
    """The PNG that a box shows right now."""
    return base64.b64decode(browser.execute_async_script(PICTURE, box))


@pytest.mark.slow
@pytest.mark.parametrize("notebook", MOVES)
def test_run_all_then_controls_move_text_and_picture(notebook, server):
    with chromium.opened() as browser:
        run_all(browser, server, notebook)
        assert browser.execute_script(ERRORS) == []
        for which, control, to, told in MOVES[notebook]:
            box = browser.execute_script(BOXES)[which]
            sentence = box.find_element(By.CSS_SELECTOR, ".widget-html-content")
            shown = {b"", picture(browser, box)}
            assert told not in sentence.text
            move(browser, box, control, to)
            another = functools.partial(lambda b, s: {picture(browser, b)} - s, box, shown)
            pictures = shown | wait(another, 30, "another picture")
            assert all(one.startswith(b"\x89PNG") for one in pictures - {b""})
            assert len(pictures) == 3 and told in sentence.text
