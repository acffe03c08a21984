"""Native chatter goes to a file and comes back to the screen."""

import gc
import os

import pytest

from qlab.core import paths, quiet


def test_notes_go_to_the_log_and_an_exception_gives_the_screen_back(empty_home, capfd):
    gc.collect()  # what earlier tests left open and nobody can reach
    before = set(os.listdir("/dev/fd"))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), quiet.quiet(), quiet.quiet():
            os.write(2, b"note\n")
            raise ZeroDivisionError
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
    gc.collect()
    assert not set(os.listdir("/dev/fd")) - before
    assert (paths.build() / "native.log").read_text() == "note\n" * 3
