"""Figures are kept with what they draw, with repeatable bytes, whole or not at all."""

import pandas as pd
import pytest

from qlab.core import plot


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    return tmp_path


DRAWN = pd.DataFrame({"x": [1.5, 2.5], "y": [0.25, 0.5]})


def draw(name: str = "f") -> None:
    with plot.figure(name, "mini", DRAWN) as (_, axis):
        axis.plot(DRAWN["x"], DRAWN["y"], label="line")
        axis.legend()


def test_three_files_with_the_same_bytes_twice(home):
    draw()
    folder = home / "figures" / "mini"
    first = {p.name: p.read_bytes() for p in folder.iterdir()}
    draw()
    assert set(first) == {"f.png", "f.svg", "f.csv"}
    assert not [name for name, content in first.items() if b"matplotlib.org" in content]  # version
    assert first == {p.name: p.read_bytes() for p in folder.iterdir()}
    pd.testing.assert_frame_equal(pd.read_csv(folder / "f.csv"), DRAWN)


def test_a_failing_drawing_writes_nothing(home):
    with pytest.raises(ZeroDivisionError), plot.figure("f", "mini", DRAWN):
        raise ZeroDivisionError
    assert not (home / "figures").exists()


def test_names_get_colours_of_their_own_in_order():
    assert len(set(plot.PALETTE)) == len(plot.PALETTE) == len(set(plot.MARKERS))
    names = [str(i) for i in range(len(plot.PALETTE))]
    assert list(plot.colours(names).values()) == plot.PALETTE
    assert plot.colours([*names, "more"])["more"] == plot.PALETTE[0]
