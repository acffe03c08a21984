"""The explore sections of the fast notebooks in a browser: Run All, then their controls moved."""

from typing import NamedTuple

import lab
import pytest
from conftest import ROOT
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from test_in_jupyterlab import SECONDS, browser, room  # noqa: F401


class Move(NamedTuple):
    """One control moved: a slider by a key, or a list to an entry; and what is told then."""

    control: str  # how its description begins
    to: str
    told: str  # part of the text afterwards


MOVES = {
    "04_weigh_the_evidence": [
        Move("threshold", Keys.END, "threshold 100%"),
        Move("effect", "inference latency", "inference latency, 13 models of 4 studies"),
    ],
    "05_judge_the_claims": [
        Move("verdict", "does not hold", "does not hold: Dynamic int8"),
        Move("claim", "every_detector_is_faster", "Every quantized detector is faster"),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("notebook", MOVES)
def test_run_all_then_controls_move_text_and_picture(notebook, browser, room):  # noqa: F811
    folder, server = room
    book = lab.copy_of(ROOT / "notebooks" / f"{notebook}.ipynb", folder, profile="smoke")
    lab.open_notebook(browser, server, f"notebooks/{book.name}")
    lab.run_all(browser, SECONDS)
    assert lab.errors(browser) == [] and lab.complaints(lab.saved(browser, book)) == []
    box = lab.boxes(browser)[-1]
    for move in MOVES[notebook]:
        before = lab.picture(browser, box)
        assert before.startswith(b"\x89PNG") and move.told not in lab.text(box)
        turn(browser, box, move)
        assert lab.changed(browser, box, before).startswith(b"\x89PNG")
        assert move.told in lab.text(box)
    lab.close(browser, server)


def turn(browser, box, move: Move) -> None:  # noqa: F811
    """Move a slider with the keyboard, or pick an entry of a list."""
    for one in box.find_elements(By.CSS_SELECTOR, ".widget-dropdown"):
        if one.find_element(By.CSS_SELECTOR, ".widget-label").text.startswith(move.control):
            browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", one)
            Select(one.find_element(By.TAG_NAME, "select")).select_by_visible_text(move.to)
            return
    lab.press(browser, box, move.control, move.to)
