"""Figures of notebook 02 keep what they drew, in order, and mix no twins with the model."""

import committed
import pandas as pd
import pytest

from qlab.core import paths, records
from qlab.language import plots

TABLE = committed.table("llama_gptq", "mini")
ORDER = ["fp32", "gptq_w4_g128", "gptq_w4_g64", "rtn_w4_g64", "bnb_fp4", "bnb_nf4"]


@pytest.mark.parametrize(("profile", "model"), [("mini", "llama_mini"), ("small", "SmolLM2")])
def test_the_model_itself_is_neither_a_twin_nor_the_embedded_one_nor_a_part(profile, model):
    """The one whose sizes are recorded, on whole passages; at small the embedded one is beside."""
    table = committed.table("llama_gptq", profile)
    [found], rows = plots.whole(table)["model"].unique(), plots.whole(table)
    assert found.startswith(model) and not found.endswith("_even") and len(rows) < len(table)
    assert rows[["condition", "part"]].isna().all(axis=None)


def test_a_figure_keeps_its_rows_in_order_and_of_none_there_is_no_figure(empty_home):
    """One of them is by a method of one's own."""
    rows = records.pick(plots.whole(TABLE), "acc", variant=ORDER).sort_values("variant")
    rows = rows.assign(method=rows["method"].mask(rows["variant"] == "bnb_nf4", "ternary"))
    plots.points("some", "smoke", rows, "A title")
    plots.points("none", "smoke", rows[:0], "A title")
    (kept,) = paths.figures("smoke").glob("*.csv")
    assert pd.read_csv(kept)["variant"].tolist() == ORDER
