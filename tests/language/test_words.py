"""Names of variants decode, and sentences say what the records say."""

import pytest

from qlab.core import records
from qlab.core.records import Record
from qlab.language import build, measure, plots, words


def record(variant: str, metric: str, value: float, low=None, high=None, **more) -> Record:
    return Record("llama_gptq", more.pop("model", "m"), more.pop("dataset", "d"), variant, metric,
                  value, "1", low, high, n=100, **more)  # fmt: skip


@pytest.mark.parametrize("variant", [*build.ALL, "fp32", "bf16", "rtn_w2_g128"])
def test_every_variant_has_a_method_bits_colour_and_marker(variant):
    name = plots.decode(variant)
    assert name.method in plots.COLOUR and name.bits in plots.BITS_MARKER
    assert (f"w{name.bits}" in variant) == ("_w" in variant)
    assert name.group == (int(variant.split("_g")[1][:3].rstrip("_l")) if "_g" in variant else 0)


def test_variants_stand_in_the_order_of_bits():
    names = ["rtn_w2_g64", "bnb_nf4", "gptq_w4_g64", "fp32", "gptq_w8_g64"]
    table = records.as_table([record(v, "acc", 0.5) for v in names])
    order = plots.in_order(table)["variant"].tolist()
    assert order == ["fp32", "gptq_w8_g64", "gptq_w4_g64", "bnb_nf4", "rtn_w2_g64"]


def test_last_sentences_and_the_even_twin_stay_out_of_the_main_figures():
    table = records.as_table(
        [
            record("fp32", "acc", 0.5),
            record("fp32", "acc", 0.1, dataset="d_last_sentence"),
            record("fp32", "acc", 0.2, model="m_even"),
        ]
    )
    assert plots.on_whole_passages(table)["value"].tolist() == [0.5]


@pytest.mark.parametrize(
    "low, high, said",
    [(-0.2, -0.1, "is wider at k = 1"), (0.1, 0.2, "is narrower"), (-0.1, 0.1, "cannot be told")],
)
def test_the_gap_has_a_verdict_by_its_interval(low, high, said):
    table = records.as_table(
        [record("rtn_w4_g64", "gap_growth_k1_k10", (low + high) / 2, low, high)]
    )
    (sentence,) = words.gap(table)
    assert sentence.startswith(f"rtn_w4_g64: the gap {said}")


def test_findings_tell_sizes_and_differences_apart():
    table = records.as_table(
        [
            record("fp32", "acc", 0.7),
            record("fp32", "size_bytes", 1000),
            record("gptq_w4_g64", "acc", 0.7),
            record("gptq_w4_g64", "acc_difference", 0.0, -0.01, 0.01),
            record("gptq_w4_g64", "size_bytes", 250),
            record("gptq_w4_g64", "top5_first_token_difference", -0.02, -0.03, -0.01),
            record("fp32", "top5_first_token", 0.1, 0.05, 0.2, dataset="d_last_sentence"),
        ]
    )
    first, second = words.findings(table)
    assert "gptq_w4_g64 is 4.00 times smaller and differs from fp32" in first
    assert "last sentence, fp32 scores 0.100 [0.050, 0.200]" in second


def test_both_twins_stand_side_by_side():
    rows = [
        record(v, m, 0.5, 0.4, 0.6, model=model)
        for v in ("fp32", "rtn_w2_g64", "bnb_nf4")
        for m in ("acc", "top5_first_token")
        for model in ("m", "m_even")
        if v != "bnb_nf4" or model == "m"
    ]
    shown = words.twins(records.as_table(rows))
    assert shown.index.tolist() == ["fp32", "rtn_w2_g64"] and shown.shape == (2, 4)
    assert shown.loc["rtn_w2_g64", ("acc", "m_even")] == "0.500 [0.400, 0.600]"
    assert measure.TWIN[-1] == "rtn_w2_g64"
