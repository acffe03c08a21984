"""A notebook as a student has it: JupyterLab in Chromium, Run All, a slider moved."""

import functools
import os
import secrets
import subprocess
import sys

import chromium
import papermill
import pytest
from conftest import ROOT, fresh_home
from jupyter_server.serverapp import list_running_servers
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait as Wait

SECONDS = 120 * float(os.environ.get("QLAB_SLOWNESS", "3"))
NAME = "05_judge_the_claims"
ERRORS = """return [...document.querySelectorAll(
  "[data-mime-type='application/vnd.jupyter.stderr']")].map(e => e.textContent)"""
OPEN = "return !!window.jupyterapp?.shell.currentWidget?.sessionContext"
# What Run All Cells in the menu Run does, once the kernel is connected.
RUN_ALL = """jupyterapp.shell.currentWidget.sessionContext.ready
  .then(() => jupyterapp.commands.execute('notebook:run-all-cells'))
  .then(fine => window.ran = [fine], fault => window.ran = [String(fault)])"""
RAN = "return window.ran"
BOX = """return [...document.querySelectorAll('.jp-OutputArea .widget-vbox')]
  .find(b => b.querySelector('img.widget-image'))"""
# The address of a picture that is drawn; another picture has another one.
PICTURE = """const image = arguments[0].querySelector('img.widget-image');
  return image.naturalWidth > 99 ? image.src : ''"""


@pytest.fixture
def server(tmp_path):
    """JupyterLab as `make lab` starts it, with a home and settings of its own: address, token."""
    folder, token = tmp_path / "a room", secrets.token_hex(16)
    (folder / "notebooks").mkdir(parents=True)
    places = (root / "notebooks" / f"{NAME}.ipynb" for root in (ROOT, folder))
    papermill.execute_notebook(*places, {"profile": "smoke"}, prepare_only=True)
    # What JupyterLab and IPython keep of a user must not change the test, nor be changed by it.
    environment = {k: v for k, v in os.environ.items() if k != "CI"}
    environment |= {name: str(folder / name) for name in ("HOME", "JUPYTER_RUNTIME_DIR")}
    call = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1"]
    call += [f"--LabApp.app_settings_dir={ROOT / 'workflow' / 'jupyterlab'}", "--allow-root"]
    call += ["--LabApp.expose_app_in_browser=True"]
    call += ["--ServerApp.port=0", f"--IdentityProvider.token={token}", str(folder)]
    environment["QLAB_HOME"] = str(fresh_home(folder / "home"))
    with (folder / "log").open("w") as to:
        process = subprocess.Popen(call, env=environment, stdout=to, stderr=to)

    def address(process) -> str:
        assert process.poll() is None, f"JupyterLab did not start: {(folder / 'log').read_text()}"
        running = list_running_servers(environment["JUPYTER_RUNTIME_DIR"])
        return next((one["url"] for one in running), "")

    try:
        yield Wait(process, 120).until(address, "JupyterLab does not say where it listens"), token
    finally:
        process.terminate()  # it ends its kernels first
        process.wait(120)


@pytest.mark.slow
def test_run_all_then_a_slider_moves_text_and_picture(server):
    url, token = server
    with chromium.opened() as browser:
        browser.set_window_size(1400, 1000)
        browser.get(f"{url}lab/tree/notebooks/{NAME}.ipynb?token={token}")
        Wait(browser, 120).until(lambda _: browser.execute_script(OPEN), "no notebook")
        browser.execute_script(RUN_ALL)
        assert Wait(browser, SECONDS).until(lambda _: browser.execute_script(RAN)) == [True]
        assert browser.execute_script(ERRORS) == []
        box = browser.execute_script(BOX)
        sentence = box.find_element(By.CSS_SELECTOR, ".widget-html-content")
        seen = functools.partial(browser.execute_script, PICTURE, box)
        before = Wait(browser, 30).until(lambda _: seen(), "no picture")
        assert "At most 29%" not in sentence.text
        knob = box.find_element(By.CSS_SELECTOR, ".widget-slider .noUi-handle")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", knob)
        knob.send_keys(Keys.ARROW_LEFT)
        Wait(browser, 30).until(lambda _: seen() not in ("", before), "no other one")
        assert "At most 29%" in sentence.text
