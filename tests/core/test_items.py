"""What intervals were computed from comes back as it was judged, and stays small."""

import numpy as np
import pandas as pd
import pytest

from qlab.core import items, stats
from qlab.core.errors import QlabError

pytestmark = pytest.mark.usefixtures("empty_home")


def test_items_come_back_with_their_types_and_give_the_same_interval():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"variant": pd.Categorical(np.repeat(["fp32", "int8"], 500))})
    table["item"] = np.tile(np.arange(500, dtype=np.int16), 2)
    table["right"] = rng.random(1000) < 0.7
    table["probability"] = rng.random(1000).astype(np.float16)
    file = items.write("e", "mini", table)
    assert file == items.path("e", "mini") and file.parent.name == "items"
    found = items.read("e", "mini")
    pd.testing.assert_frame_equal(found, table)
    before, after = (t["right"].to_numpy().reshape(2, 500) for t in (table, found))
    assert stats.difference(*after) == stats.difference(*before)


def test_what_is_too_large_to_be_committed_is_refused_and_leaves_the_old_file(monkeypatch):
    items.write("e", "mini", pd.DataFrame({"x": [1]}))
    monkeypatch.setattr(items, "LIMIT", 2000)
    large = pd.DataFrame({"x": np.random.default_rng(0).random(1000)})
    with pytest.raises(QlabError, match="items of e take .* bytes; 2,000 are committed at most"):
        items.write("e", "mini", large)
    assert items.read("e", "mini")["x"].tolist() == [1]
    items.write("e", "full", large)  # is not committed
    with pytest.raises(QlabError, match="no items of 'none' for the profile 'mini'"):
        items.read("none", "mini")
