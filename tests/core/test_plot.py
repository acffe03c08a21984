"""Figures are kept with what they draw, with repeatable bytes, whole or not at all."""

import pandas as pd
import pytest

from qlab.core import plot

pytestmark = pytest.mark.usefixtures("empty_home")


DRAWN = pd.DataFrame({"x": [1.5, 2.5], "y": [0.25, 0.5]})


def draw() -> None:
    with plot.figure("f", "mini", DRAWN) as (_, axis):
        axis.plot(DRAWN["x"], DRAWN["y"])


def test_three_files_with_the_same_bytes_twice(empty_home):
    draw()
    folder = empty_home / "figures" / "mini"
    first = {p.name: p.read_bytes() for p in folder.iterdir()}
    draw()
    assert set(first) == {"f.png", "f.svg", "f.csv"}
    assert not [name for name, content in first.items() if b"matplotlib.org" in content]  # version
    assert first == {p.name: p.read_bytes() for p in folder.iterdir()}
    pd.testing.assert_frame_equal(pd.read_csv(folder / "f.csv"), DRAWN)
