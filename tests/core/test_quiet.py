"""Native chatter goes to a file and comes back to the screen; bars are silent when headless."""

import gc
import os

import pytest

from qlab.core import paths, progress, quiet

pytestmark = pytest.mark.usefixtures("empty_home")


def descriptors() -> set[str]:
    gc.collect()  # what earlier tests left open and nobody can reach
    return set(os.listdir("/dev/fd"))


def test_notes_go_to_the_log_and_an_exception_gives_the_screen_back(capfd):
    before = descriptors()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), quiet.quiet(), quiet.quiet():
            os.write(2, b"note\n")
            raise ZeroDivisionError
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
    assert not descriptors() - before
    assert (paths.build() / "native.log").read_text() == "note\n" * 3


@pytest.mark.parametrize("switch", ["CI", "QLAB_QUIET"])
def test_a_bar_is_silent_when_headless(switch, monkeypatch, capfd):
    monkeypatch.setenv(switch, "1")
    assert list(progress.bar("detect")(range(3))) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")
