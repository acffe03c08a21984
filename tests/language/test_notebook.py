"""What notebook 02 says of its committed runs, held to the records."""

import committed
import pytest
import shown
from conftest import ROOT

from qlab.core import records
from qlab.language import measure

PROSE = shown.prose("02_")
POINTS, NATS = "{:+.1f} [{:+.1f}, {:+.1f}]", "{:+.2f} [{:+.2f}, {:+.2f}]"
LOST, SIDES, GROWTH = "acc_difference", "part_difference", "gap_growth_k1_k10"
EIGHT, FOUR = ("gptq_w8_g64", "rtn_w8_g64"), ("gptq_w4_g64", "rtn_w4_g64", "bnb_nf4")
FEW = ("gptq_w3_g64", "rtn_w3_g64", "gptq_w2_g64", "rtn_w2_g64", "autoround_w2_g64")
ATTENTION = "attention minus MLP, as many bytes"
REAL = "SmolLM2-135M-Instruct.Q4_1"  # of profile small
SHARE = "{:.2f} [{:.2f}, {:.2f}]"
REAL_LOST = (*EIGHT, "bnb_int8", *FOUR, "bnb_fp4", *FEW)
SAID = [  # model, variant, metric, part, how it is written
    *(("llama_mini", v, LOST, None, POINTS) for v in (*EIGHT, *FOUR, *FEW)),
    *(("llama_mini_even", v, LOST, None, POINTS) for v in ("gptq_w2_g64", "rtn_w2_g64")),
    *(("llama_mini", f"gptq_w{b}_g64", SIDES, ATTENTION, NATS) for b in (4, 3, 2)),
    *(("llama_mini", f"gptq_w{b}_g64", SIDES, side, NATS)
      for side in ("first third minus last third", "query, key minus value, output")
      for b in (4, 2)),
    *(("llama_mini", f"gptq_w{b}_g64_lora", "recovered_share", None, SHARE) for b in (3, 2)),
    *((REAL, v, LOST, None, POINTS) for v in REAL_LOST),
    *((REAL, f"gptq_w{b}_g64", SIDES, side, NATS)
      for side in (ATTENTION, "first third minus last third", "query, key minus value, output")
      for b in (4, 3, 2)),
    *((REAL, f"gptq_w{b}_g64", GROWTH, None, POINTS) for b in (4, 3, 2)),
    (REAL, "gptq_w3_g64_lora", "recovered_share", None, SHARE),
    *((REAL, v, "tokens_per_s_decode_ratio", None, SHARE) for v in ("bnb_nf4", "gptq_w4_g64")),
]  # fmt: skip


def told(form, row, scale=1) -> str:
    """A record's value and interval as the prose writes them."""
    return form.format(*(scale * row[end] for end in ("value", "ci_low", "ci_high")))


def of_mini(metric, **where):
    return records.pick(committed.table("llama_gptq", "mini"), metric, **where)


@pytest.mark.parametrize(("model", "variant", "metric", "part", "form"), SAID)
def test_a_number_in_the_prose_is_a_committed_record(model, variant, metric, part, form):
    where = {"model": model, "variant": variant, "part": part}
    where["condition"] = measure.SOME if part else None
    table = committed.table("llama_gptq", "small" if model == REAL else "mini")
    (row,) = records.pick(table, metric, **where).to_dict("records")
    assert f"`{variant}` {told(form, row, 100 if metric in (LOST, GROWTH) else 1)}" in PROSE


def test_the_numbers_under_readmes_picture_are_committed_records():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    few = ("gptq_w8_g64", "gptq_w4_g64", "bnb_nf4", "gptq_w2_g64", "autoround_w2_g64")
    real = [("small", REAL, variant) for variant in few]
    for profile, model, variant in [*real, ("mini", "llama_mini", "gptq_w4_g64")]:
        where = {"model": model, "variant": variant, "condition": None, "part": None}
        rows = records.pick(committed.table("llama_gptq", profile), LOST, **where)
        assert told(POINTS, rows.iloc[0], 100) in readme and len(rows) == 1


def test_the_kurtosis_and_the_sizes_that_the_prose_tells():
    found = of_mini("kurtosis", part="weights").set_index("model")["value"]
    assert f"of its weights {found['llama_mini']:.1f}, of the even twin's" in PROSE
    assert f"twin's {found['llama_mini_even']:.1f}." in PROSE
    size = of_mini("size_bytes").set_index("variant")["value"]
    assert f"the whole file only {size['fp32'] / size['gptq_w2_g64']:.1f}-fold" in PROSE
    assert f"here {size['gptq_w2_g64'] / size['gptq_w8_g64']:.2f} of it" in PROSE
    assert size["gptq_w3_g64_lora"] > size["gptq_w4_g64"]  # as it says


def test_the_conjecture_is_said_to_hold_where_the_records_say_so():
    table = of_mini(GROWTH, model="llama_mini")
    table = table[~table["variant"].str.endswith("_lora")]
    _, _, after = PROSE.partition("the gap is wider at k = 1 than at k = 10 for ")
    wider, narrower = after.split("It is narrower for ")
    said = {wider.split(":")[0]: table["ci_high"] < 0}
    said[narrower.split(", for a reason")[0]] = table["ci_low"] > 0
    for listed, these in said.items():
        assert sorted(listed.replace("`", "").split(", ")) == sorted(table[these]["variant"])


def test_the_executed_copy_is_of_these_cells():
    committed.assert_executed(shown.notebook("02_"))
