"""The fast notebooks as a student has them: JupyterLab in Chromium, Run All, controls moved."""

import os
import shutil

import chromium
import lab
import pytest
from conftest import ROOT, fresh_home
from selenium.webdriver.common.keys import Keys

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


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A JupyterLab on notebooks beside the committed figures, with a home to write to."""
    folder = tmp_path_factory.mktemp("a room")
    shutil.copytree(ROOT / "figures", folder / "figures", ignore=shutil.ignore_patterns("*.svg"))
    home = fresh_home(folder / "home")
    for name in MOVES:
        lab.copy_of(ROOT / "notebooks" / f"{name}.ipynb", folder / "notebooks", profile="smoke")
    with lab.serving(folder, home, folder / "own") as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("notebook", MOVES)
def test_run_all_then_controls_move_text_and_picture(notebook, server):
    with chromium.opened() as browser:
        lab.open_notebook(browser, server, f"notebooks/{notebook}.ipynb")
        lab.run_all(browser, SECONDS)
        assert lab.errors(browser) == []
        for box, control, to, told in MOVES[notebook]:
            one = lab.boxes(browser)[box]
            before = lab.picture(browser, one)
            assert before.startswith(b"\x89PNG") and told not in lab.text(one)
            lab.move(browser, one, control, to)
            assert lab.changed(browser, one, before).startswith(b"\x89PNG")
            assert told in lab.text(one)
