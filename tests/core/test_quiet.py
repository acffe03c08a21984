"""Native chatter goes to a file and comes back to the screen."""

import gc
import os

import pytest

from qlab.core import paths, quiet

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
