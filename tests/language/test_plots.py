"""Figures of notebook 02 keep what they drew, in order, and mix no twins with the model."""

import committed
import pandas as pd
import pytest

from qlab.core import paths, records
from qlab.language import plots

TABLE = committed.table("llama_gptq", "mini")
ORDER = ["fp32", "own", "gptq_w4_g128", "gptq_w4_g64", "rtn_w4_g64", "bnb_nf4"]


@pytest.fixture
def rows():
    """What six variants lost, one of them by a method of one's own, out of order."""
    found = records.pick(plots.whole(TABLE), "acc_difference", variant=[*ORDER[2:], "bnb_int8"])
    parent = records.pick(plots.whole(TABLE), "acc", variant="fp32")
    table = pd.concat([found, parent.assign(metric="acc_difference")]).sort_values("variant")
    own = table["variant"] == "bnb_int8"
    return table.assign(
        variant=table["variant"].mask(own, "own"), method=table["method"].mask(own, "ternary")
    )


@pytest.mark.parametrize(("profile", "model"), [("mini", "llama_mini"), ("small", "SmolLM2")])
def test_the_model_itself_is_neither_a_twin_nor_the_embedded_one_nor_a_part(profile, model):
    """The one whose sizes are recorded, on whole passages; at small the embedded one is beside."""
    table = committed.table("llama_gptq", profile)
    [found], rows = plots.whole(table)["model"].unique(), plots.whole(table)
    assert found.startswith(model) and not found.endswith("_even") and len(rows) < len(table)
    assert rows[["condition", "part"]].isna().all(axis=None)


@pytest.mark.parametrize("over", ["", "bits"])
def test_a_figure_keeps_its_rows_in_order_and_of_none_there_is_no_figure(empty_home, rows, over):
    plots.points("some", "smoke", rows, "A title", over)
    file = paths.figures("smoke") / "some.csv"
    assert file.with_suffix(".png").is_file() and file.with_suffix(".svg").is_file()
    assert pd.read_csv(file)["variant"].tolist() == ORDER
    plots.points("none", "smoke", rows[:0], "A title", over)
    assert not (paths.figures("smoke") / "none.csv").exists()


def test_a_table_has_intervals_and_whole_numbers_and_leaves_empty_what_is_not_there(rows):
    size = records.pick(plots.whole(TABLE), "size_bytes", variant="fp32")
    found = plots.told(plots.in_order(pd.concat([rows, size])))
    assert list(found.index) == ORDER
    assert found.loc["fp32", "size_bytes"] == f"{size['value'].iloc[0]:,.0f}"
    assert found.loc["own", "size_bytes"] == "" and " [" in found.loc["own", "acc_difference"]
