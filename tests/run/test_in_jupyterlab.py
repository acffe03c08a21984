"""Notebooks with sliders as a student has them: JupyterLab in Chromium, Run All, a slider moved."""

import os
import shutil
from typing import NamedTuple

import chromium
import lab
import pytest
from conftest import ROOT, fresh_home
from selenium.webdriver.common.keys import Keys

SECONDS = 120 * float(os.environ.get("QLAB_SLOWNESS", "3"))


class Slider(NamedTuple):
    """One slider that a test moves: where it is, how it is moved, what is told then."""

    notebook: str
    box: int  # among the notebook's boxes of `live.follow`
    description: str  # how the slider's label begins
    key: str
    told: str  # part of the text after one press


BY_HAND = "00_quantize_one_layer_by_hand"
SLIDERS = [
    Slider(BY_HAND, 0, "bits", Keys.ARROW_RIGHT, "on 15 levels"),
    Slider(BY_HAND, 1, "bits", Keys.ARROW_LEFT, "3 bits"),
    Slider(BY_HAND, 1, "scales", Keys.ARROW_LEFT, "per tensor"),
    Slider(BY_HAND, 1, "scheme", Keys.ARROW_RIGHT, ", asymmetric"),
    Slider(BY_HAND, 1, "share of the range kept", Keys.ARROW_LEFT, "98% of the range"),
    Slider("05_judge_the_claims", 0, "points lost", Keys.ARROW_LEFT, "4.75 points"),
]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Notebooks beside the committed figures, a home to write to, and a JupyterLab on it."""
    folder = tmp_path_factory.mktemp("a room")
    shutil.copytree(ROOT / "figures", folder / "figures", ignore=shutil.ignore_patterns("*.svg"))
    home = fresh_home(folder / "home")
    with lab.serving(folder, home, folder / "own") as server:
        yield folder / "notebooks", server


@pytest.fixture(scope="module")
def browser():
    with chromium.opened() as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("notebook", sorted({s.notebook for s in SLIDERS}))
def test_run_all_then_sliders_move_their_pictures(notebook, browser, room):
    folder, server = room
    book = lab.copy_of(ROOT / "notebooks" / f"{notebook}.ipynb", folder, profile="smoke")
    lab.open_notebook(browser, server, f"notebooks/{book.name}")
    lab.run_all(browser, SECONDS)
    done = lab.saved(browser, book)
    assert lab.errors(browser) == [] and lab.complaints(done) == []
    assert all(c.execution_count for c in done.cells if c.cell_type == "code")
    for slider in (s for s in SLIDERS if s.notebook == notebook):
        box = lab.boxes(browser)[slider.box]
        before, told = lab.picture(browser, box), lab.text(box)
        assert before.startswith(b"\x89PNG") and slider.told not in told
        lab.press(browser, box, slider.description, slider.key)
        assert lab.changed(browser, box, before).startswith(b"\x89PNG")
        assert slider.told in lab.text(box)
    lab.close(browser, server)
