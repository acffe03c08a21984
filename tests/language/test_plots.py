"""Figures of notebook 02 keep what they drew, in order, and mix no twins with the model."""

import pandas as pd
import pytest

from qlab.core import paths, records
from qlab.core.records import Record
from qlab.language import plots

MADE = {  # variant -> method, bits, group size
    "rtn_w4_g64": ("rtn", 4, 64), "fp32": (None, 32, None), "own": ("ternary", 2, 64),
    "gptq_w4_g128": ("gptq", 4, 128), "gptq_w4_g64": ("gptq", 4, 64), "rtn_w8": ("rtn", 8, 64),
}  # fmt: skip
ORDER = ["fp32", "rtn_w8", "gptq_w4_g128", "gptq_w4_g64", "rtn_w4_g64", "own"]


def rows(metric="acc_difference", variants=MADE, **more):
    """A record of each variant."""
    about = {"experiment": "e", "dataset": "d", "unit": "1", "ci_low": -0.4, "ci_high": 0.1}
    about |= {"model": "m", "n": 50} | more
    return records.as_table(
        Record(variant=v, metric=metric, value=-0.1 * i, method=m, bits=b, group_size=g, **about)
        for i, (v, (m, b, g)) in enumerate(MADE.items())
        if v in variants
    )


def drawn(name):
    """The variants of a figure, with its pictures beside its numbers."""
    file = paths.figures("smoke") / f"{name}.csv"
    assert file.with_suffix(".png").is_file() and file.with_suffix(".svg").is_file()
    return pd.read_csv(file)["variant"].tolist()


@pytest.mark.parametrize("model", ["llama_mini", "SmolLM2"])
def test_the_model_itself_is_neither_twin_nor_embedded_one_nor_part_nor_last_sentence(model):
    """The one whose sizes are recorded; profile small judges the embedded model beside it."""
    own = {"model": model}
    mine = [rows(**own), rows(**own, metric="size_bytes")]
    others = [rows(**own, part="q_proj"), rows(**own, condition="last_sentence")]
    others += [rows(model=other) for other in {"llama_mini", "llama_mini_even"} - {model}]
    table = pd.concat([*mine, *others], ignore_index=True)
    pd.testing.assert_frame_equal(plots.whole(table), table[: 2 * len(MADE)])


@pytest.mark.parametrize("over", ["", "k"])
def test_a_figure_keeps_its_rows_in_order_and_of_none_there_is_no_figure(empty_home, over):
    plots.points("some", "smoke", rows(k=3), "A title", over)
    assert drawn("some") == ORDER
    plots.points("none", "smoke", rows()[:0], "A title", over)
    assert not (paths.figures("smoke") / "none.csv").exists()


def test_a_table_has_intervals_and_whole_numbers_and_leaves_empty_what_is_not_there():
    table = pd.concat([rows(k=1), rows("size_bytes", ["fp32"], ci_low=None, ci_high=None)])
    table.loc[table["metric"] == "size_bytes", "value"] = 123456.0
    found = plots.told(plots.in_order(table))
    assert list(found.index) == ORDER
    assert found.loc["fp32"].tolist() == ["-0.1 [-0.4, 0.1]", "123,456"]
    assert found.loc["own", "size_bytes"] == ""
