"""Figures are kept with what they draw, with repeatable bytes, whole or not at all."""

import pandas as pd
import pytest

from qlab.core import plot
from qlab.core.errors import QlabError


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
    assert first == {p.name: p.read_bytes() for p in folder.iterdir()}
    pd.testing.assert_frame_equal(pd.read_csv(folder / "f.csv"), DRAWN)


def test_a_failing_drawing_writes_nothing(home):
    with pytest.raises(ZeroDivisionError), plot.figure("f", "mini", DRAWN):
        raise ZeroDivisionError
    assert not (home / "figures").exists()


def test_a_figures_folder_that_cannot_be_one(home):
    (home / "figures").write_text("a file where the folder should be")
    with pytest.raises(QlabError, match="is in the way: a folder is needed there"):
        draw()
    assert (home / "figures").read_text() == "a file where the folder should be"


def test_the_palette_has_no_twins():
    assert len(set(plot.PALETTE)) == len(plot.PALETTE) == len(set(plot.MARKERS))


def test_a_figure_lies_in_its_profile_and_names_no_software(tmp_path, monkeypatch):
    """The drawing library's version in the file would change the bytes with every update."""
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    with plot.figure("f", "full", pd.DataFrame({"x": [1]})) as (_, axis):
        axis.plot([1], [1])
    folder = tmp_path / "figures" / "full"
    assert sorted(p.name for p in folder.iterdir()) == ["f.csv", "f.png", "f.svg"]
    for name in ("f.png", "f.svg"):
        assert b"matplotlib.org" not in (folder / name).read_bytes(), name


def test_names_get_colours_of_their_own_in_order():
    names = [str(i) for i in range(len(plot.PALETTE))]
    assert list(plot.colours(names).values()) == plot.PALETTE
    assert plot.colours([*names, "more"])["more"] == plot.PALETTE[0]
