"""The fast notebooks as a student has them: JupyterLab in Chromium, Run All, controls moved."""

import os
import shutil
from typing import NamedTuple

import chromium
import lab
import pytest
from conftest import ROOT, fresh_home
from selenium.webdriver.common.keys import Keys

SECONDS = 120 * float(os.environ.get("QLAB_SLOWNESS", "3"))


class Move(NamedTuple):
    """One control moved: where it is, how it is moved, and what is told then."""

    box: int  # among the notebook's boxes of `live.follow`
    control: str  # how its label begins
    to: str  # a key for a slider, an entry of a list
    told: str  # part of the text afterwards, not before


MOVES = {
    "00_quantize_one_layer_by_hand": [
        Move(0, "bits", Keys.ARROW_RIGHT, "on 15 levels"),
        Move(1, "scales", Keys.ARROW_LEFT, "per tensor"),
    ],
    "04_weigh_the_evidence": [
        Move(-1, "threshold", Keys.END, "threshold 100%"),
        Move(-1, "effect", "inference latency", "inference latency, 13 models of 4 studies"),
    ],
    "05_judge_the_claims": [
        Move(0, "points lost", Keys.ARROW_LEFT, "4.75 points"),
        Move(-1, "verdict", "does not hold", "does not hold: Dynamic int8"),
    ],
}


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
@pytest.mark.parametrize("notebook", MOVES)
def test_run_all_then_controls_move_text_and_picture(notebook, browser, room):
    folder, server = room
    book = lab.copy_of(ROOT / "notebooks" / f"{notebook}.ipynb", folder, profile="smoke")
    lab.open_notebook(browser, server, f"notebooks/{book.name}")
    lab.run_all(browser, SECONDS)
    assert lab.errors(browser) == []
    for move in MOVES[notebook]:
        box = lab.boxes(browser)[move.box]
        before = lab.picture(browser, box)
        assert before.startswith(b"\x89PNG") and move.told not in lab.text(box)
        lab.move(browser, box, move.control, move.to)
        assert lab.changed(browser, box, before).startswith(b"\x89PNG")
        assert move.told in lab.text(box)
    lab.close(browser, server)
