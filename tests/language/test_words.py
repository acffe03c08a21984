"""Tables and sentences say what the records say."""

import pytest

from qlab.core import records
from qlab.core.records import Record
from qlab.language import build, data, measure, methods, plots, words


def record(variant: str, metric: str, value: float, low=None, high=None, **more) -> Record:
    about = methods.ABOUT[variant]._asdict()
    return Record("llama_gptq", more.pop("model", "m"), "d", variant, metric, value, "1", low, high,
                  n=100, **about, **more)  # fmt: skip


@pytest.mark.parametrize("variant", [*build.ALL, "fp32", "bf16", "rtn_w2_g128"])
def test_every_variant_has_a_colour_and_a_marker(variant):
    method, bits, _ = methods.ABOUT[variant]
    assert (method or "float") in plots.COLOUR and bits in plots.BITS_MARKER


def test_variants_stand_in_the_order_of_bits():
    names = ["rtn_w2_g64", "bnb_nf4", "gptq_w4_g64", "fp32", "gptq_w8_g64"]
    table = records.as_table([record(v, "acc", 0.5) for v in names])
    order = plots.in_order(table)["variant"].tolist()
    assert order == ["fp32", "gptq_w8_g64", "gptq_w4_g64", "bnb_nf4", "rtn_w2_g64"]


def test_last_sentences_and_the_even_twin_stay_out_of_the_main_figures():
    table = records.as_table(
        [
            record("fp32", "acc", 0.5),
            record("fp32", "acc", 0.1, condition="last_sentence"),
            record("fp32", "acc", 0.2, model=data.EVEN_MODEL),
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
            record("gptq_w4_g64", "top_first_token_difference", -0.02, -0.03, -0.01, k=5),
            record("fp32", "top_first_token", 0.1, 0.05, 0.2, k=5, condition="last_sentence"),
        ]
    )
    first, second = words.findings(table)
    assert "gptq_w4_g64 is 4.00 times smaller and differs from fp32" in first
    assert "last sentence, fp32 scores 0.100 [0.050, 0.200]" in second


def test_both_twins_stand_side_by_side():
    rows = [
        record(v, m, 0.5, 0.4, 0.6, model=model, k=k)
        for v in ("fp32", "rtn_w2_g64", "bnb_nf4")
        for m, k in (("acc", None), ("top_first_token", 5), ("top_first_token", 1))
        for model in ("m", data.EVEN_MODEL)
        if v != "bnb_nf4" or model == "m"
    ]
    shown = words.twins(records.as_table(rows))
    assert shown.index.tolist() == ["fp32", "rtn_w2_g64"] and shown.shape == (2, 4)
    assert shown.loc["rtn_w2_g64", ("acc", data.EVEN_MODEL)] == "0.500 [0.400, 0.600]"
    assert measure.TWIN[-1] == "rtn_w2_g64"
