"""What notebook 02 says of its committed runs beside intervals, and its figures."""

import committed
import pandas as pd
import pytest
import shown

from qlab.core import paths, records
from qlab.language import plots

PROSE = shown.prose("02_")
TABLE = committed.table("llama_gptq", "mini")
ORDER = ["fp32", "gptq_w4_g128", "gptq_w4_g64", "rtn_w4_g64", "bnb_fp4", "bnb_nf4"]


def test_the_kurtosis_and_the_sizes_that_the_prose_tells():
    found = records.pick(TABLE, "kurtosis", part="weights").set_index("model")["value"]
    assert f"of its weights {found['llama_mini']:.1f}, of the even twin's" in PROSE
    assert f"twin's {found['llama_mini_even']:.1f}." in PROSE
    size = records.pick(TABLE, "size_bytes").set_index("variant")["value"]
    assert f"the whole file only {size['fp32'] / size['gptq_w2_g64']:.1f}-fold" in PROSE
    assert f"here {size['gptq_w2_g64'] / size['gptq_w8_g64']:.2f} of it" in PROSE
    assert size["gptq_w3_g64_lora"] > size["gptq_w4_g64"]  # as it says


def test_the_conjecture_is_said_to_hold_where_the_records_say_so():
    table = records.pick(TABLE, "gap_growth_k1_k10", model="llama_mini")
    table = table[~table["variant"].str.endswith("_lora")]
    _, _, after = PROSE.partition("the gap is wider at k = 1 than at k = 10 for ")
    wider, narrower = after.split("It is narrower for ")
    said = {wider.split(":")[0]: table["ci_high"] < 0}
    said[narrower.split(", for a reason")[0]] = table["ci_low"] > 0
    for listed, these in said.items():
        assert sorted(listed.replace("`", "").split(", ")) == sorted(table[these]["variant"])


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
