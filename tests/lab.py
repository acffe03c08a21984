"""A real JupyterLab in a real browser: open a notebook, Run All, move a control, look again.

In the order of the functions below.
"""

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import nbformat
from conftest import ROOT
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

# What JupyterLab and IPython keep of a user: it must not change the test, nor be changed by it.
OWN_FOLDERS = ["IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"]
OWN_FOLDERS += ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"]


class Server(NamedTuple):
    """A JupyterLab that is up: its address, with a slash at the end, and its token."""

    url: str
    token: str


def copy_of(notebook: Path, folder: Path, **parameters) -> None:
    """A copy of the notebook in the folder, with these parameters as papermill would set them."""
    folder.mkdir(parents=True, exist_ok=True)
    book = parameterize_notebook(load_notebook_node(str(notebook)), parameters)
    nbformat.write(book, folder / notebook.name)


@contextmanager
def serving(folder: Path, home: Path, own: Path) -> Iterator[Server]:
    """JupyterLab as `make lab` starts it, on a free port, with a token; it is gone at the end.

    `folder` holds the notebooks, `home` becomes `QLAB_HOME`, `own` takes its settings and its log.
    """
    places = {name: str(own / name.lower()) for name in OWN_FOLDERS}
    token, log = secrets.token_hex(16), own / "jupyterlab.log"
    call = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1"]
    call += [f"--LabApp.app_settings_dir={ROOT / 'workflow' / 'jupyterlab'}", "--allow-root"]
    call += ["--ServerApp.port=0", f"--IdentityProvider.token={token}", str(folder)]
    environment = {k: v for k, v in os.environ.items() if k != "CI"} | places
    own.mkdir(parents=True)
    with log.open("w") as to:
        process = subprocess.Popen(
            call, env=environment | {"QLAB_HOME": str(home)}, stdout=to, stderr=to
        )

    def address() -> str:
        assert process.poll() is None, f"JupyterLab did not start: {log.read_text()[-2000:]}"
        told = Path(places["JUPYTER_RUNTIME_DIR"], f"jpserver-{process.pid}.json")
        return json.loads(told.read_text() or "{}").get("url", "") if told.is_file() else ""

    try:
        yield Server(wait(address, 120, "JupyterLab to say where it listens"), token)
    finally:
        process.terminate()  # it ends its kernels first
        process.wait(120)


def wait(condition: Callable, seconds: float, what: str):
    """The condition's first true value; AssertionError if there is none within the seconds."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)
    return found


def open_notebook(browser, server: Server, name: str, seconds: float = 120) -> None:
    """Open a notebook as a person does, and wait until its kernel is there to run it."""
    browser.set_window_size(1400, 1000)
    own = f"lab/workspaces/{Path(name).stem}"  # or the notebook before would be restored beside it
    browser.get(f"{server.url}{own}/tree/{name}?token={server.token}")
    # Before the kernel is connected, running a cell would ask which one to take.
    ready = "return !!document.querySelector('.jp-Notebook .jp-CodeCell') && [...document"
    ready += ".querySelectorAll('.jp-StatusBar-TextItem')].some(e => "
    ready += "/[|] Idle/.test(e.textContent))"
    wait(lambda: browser.execute_script(ready), seconds, f"{name} and its kernel")


def run_all(browser, seconds: float) -> None:
    """Run > Run All Cells, and wait until every cell that holds code has been run or one failed."""
    # What stands in the brackets before a cell: "", "*" or a number. A folded cell shows neither
    # code nor prompt. One that is not yet drawn has neither, too, and has not run.
    script = "return [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].filter(c => "
    script += "!c.querySelector('.jp-InputPlaceholder') && "
    script += "c.querySelector('.cm-content')?.textContent.trim() !== '').map(c => (c"
    script += ".querySelector('.jp-InputPrompt')?.textContent ?? '').replace(/[^0-9*]/g, ''))"

    def finished() -> bool:  # a cell that failed leaves later ones unrun
        seen = browser.execute_script(script)
        return "*" not in seen and any(seen) and (all(seen) or bool(errors(browser)))

    bar = browser.find_elements(By.CSS_SELECTOR, ".lm-MenuBar-item")
    next(item for item in bar if item.text.strip() == "Run").click()
    entry = ".lm-Menu-item[data-command='runmenu:run-all']"
    wait(lambda: browser.find_elements(By.CSS_SELECTOR, entry), 10, "the menu Run")[0].click()
    wait(lambda: "*" in browser.execute_script(script) or finished(), 30, "the first cell to start")
    wait(finished, seconds, "the last cell to end")


def errors(browser) -> list[str]:
    """The tracebacks on the page, and what else was written to standard error."""
    kind = "[data-mime-type='application/vnd.jupyter.stderr']"
    script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
    return browser.execute_script(script, kind)


def boxes(browser) -> list[WebElement]:
    """The boxes of `qlab.core.live.follow` on the page, from top to bottom."""
    script = "return [...document.querySelectorAll('.jp-OutputArea .widget-vbox')].filter(b => "
    return browser.execute_script(script + "b.querySelector('img.widget-image'))")


def picture(browser, box: WebElement) -> bytes:
    """The PNG that a box shows right now."""
    script = """
    const [box, done] = arguments, image = box.querySelector("img.widget-image");
    const read = async () => {
      const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
      return btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(""));
    };
    (image.complete ? read() : image.decode().then(read)).then(done, () => done(""));
    """
    return base64.b64decode(browser.execute_async_script(script, box))


def text(box: WebElement) -> str:
    """The sentence that a box shows right now."""
    return box.find_element(By.CSS_SELECTOR, ".widget-html-content").text


def move(browser, box: WebElement, description: str, to: str) -> None:
    """Press a key on the knob of the slider, or pick an entry of the list, named like this."""
    controls = box.find_elements(By.CSS_SELECTOR, ".widget-slider, .widget-dropdown")
    labels = [c.find_element(By.CSS_SELECTOR, ".widget-label").text for c in controls]
    places = [i for i, label in enumerate(labels) if label.startswith(description)]
    assert len(places) == 1, f"one control {description!r} was expected among {labels}"
    control = controls[places[0]]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", control)
    if "widget-dropdown" in control.get_attribute("class"):
        Select(control.find_element(By.TAG_NAME, "select")).select_by_visible_text(to)
    else:
        control.find_element(By.CSS_SELECTOR, ".noUi-handle").send_keys(to)


def changed(browser, box: WebElement, before: bytes) -> bytes:
    """The new picture of a box, once it is another one than `before`."""
    return wait(lambda: {picture(browser, box)} - {before, b""}, 30, "another picture").pop()
