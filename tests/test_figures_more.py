"""What a kept figure must not hold, where it lies, and colours that stay apart."""

import pandas as pd

from qlab import figures


def test_a_figure_lies_in_its_profile_and_names_no_software(tmp_path, monkeypatch):
    """The drawing library's version in the file would change the bytes with every update."""
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    with figures.figure("f", "full", pd.DataFrame({"x": [1]})) as (_, axis):
        axis.plot([1], [1])
    folder = tmp_path / "figures" / "full"
    assert sorted(p.name for p in folder.iterdir()) == ["f.csv", "f.png", "f.svg"]
    for name in ("f.png", "f.svg"):
        assert b"matplotlib.org" not in (folder / name).read_bytes(), name


def test_names_get_colours_of_their_own_in_order():
    names = [str(i) for i in range(len(figures.PALETTE))]
    assert list(figures.colours(names).values()) == figures.PALETTE
    assert figures.colours([*names, "more"])["more"] == figures.PALETTE[0]
