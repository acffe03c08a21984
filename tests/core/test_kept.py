"""What is kept: items as judged, models by their hash, figures with equal bytes, native notes."""

import gc
import json
import os
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest

from qlab.core import items, paths, plot, quiet, stats
from qlab.core.errors import QlabError
from qlab.files import embedded

pytestmark = pytest.mark.usefixtures("empty_home")


def test_items_come_back_with_their_types_and_give_the_same_interval():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"variant": pd.Categorical(np.repeat(["fp32", "int8"], 500))})
    table["item"] = np.tile(np.arange(500, dtype=np.int16), 2)
    table["right"] = rng.random(1000) < 0.7
    table["probability"] = rng.random(1000).astype(np.float16)
    items.write("e", "mini", table)
    found = items.read("e", "mini")
    pd.testing.assert_frame_equal(found, table)
    before, after = (t["right"].to_numpy().reshape(2, 500) for t in (table, found))
    assert stats.difference(*after) == stats.difference(*before)


def test_a_kept_model_is_found_by_its_hash_and_a_changed_one_refused(empty_home):
    folder = paths.models() / "toy"

    def writer(content: bytes):
        return lambda made: (made / "weights.h5").write_bytes(content)

    embedded.keep(folder, writer(b"one"), {"seed": 3})
    assert embedded.model_folder("toy") == folder
    card = {"seed": 3, "weights": "weights.h5", "weights_sha256": sha256(b"one").hexdigest()}
    assert json.loads((folder / "card.json").read_text()) == card
    (folder / "weights.h5").write_bytes(b"two")
    with pytest.raises(QlabError, match="weights do not match its card"):
        embedded.model_folder("toy")
    embedded.keep(folder, writer(b"two"), {"seed": 4})
    assert embedded.model_folder("toy") == folder


def test_a_figure_is_three_files_with_the_same_bytes_twice(empty_home):
    drawn, files = pd.DataFrame({"x": [1.5, 2.5], "y": [0.25, 0.5]}), []
    for _ in range(2):
        with plot.figure("f", "mini", drawn) as (_, axis):
            axis.plot(drawn["x"], drawn["y"])
        folder = empty_home / "figures" / "mini"
        files.append({p.name: p.read_bytes() for p in folder.iterdir()})
    assert set(files[0]) == {"f.png", "f.svg", "f.csv"} and files[0] == files[1]
    assert not [name for name, content in files[0].items() if b"matplotlib.org" in content]
    pd.testing.assert_frame_equal(pd.read_csv(folder / "f.csv"), drawn)


def test_notes_go_to_the_log_and_an_exception_gives_the_screen_back(capfd):
    gc.collect()  # what earlier tests left open and nobody can reach
    before = set(os.listdir("/dev/fd"))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), quiet.quiet(), quiet.quiet():
            os.write(2, b"note\n")
            raise ZeroDivisionError
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
    assert not set(os.listdir("/dev/fd")) - before
    assert (paths.build() / "native.log").read_text() == "note\n" * 3
