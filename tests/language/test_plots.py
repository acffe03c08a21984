"""What the figures and tables of notebook 02 have in common."""

import pytest

from qlab.core import records
from qlab.core.records import Record
from qlab.language import build, data, methods, plots


def record(variant: str, value: float = 0.5, model: str = "m", **more) -> Record:
    about = methods.ABOUT[variant]._asdict()
    return Record("llama_gptq", model, "d", variant, "acc", value, "1", n=100, **about, **more)


@pytest.mark.parametrize("variant", [*build.ALL, "fp32", "bf16", "rtn_w2_g128"])
def test_every_variant_has_a_colour_and_a_marker(variant):
    method, bits, _ = methods.ABOUT[variant]
    assert (method or "float") in plots.COLOUR and bits in plots.BITS_MARKER


def test_variants_stand_in_the_order_of_bits_and_some_get_a_curve():
    names = ["rtn_w2_g64", "bnb_nf4", "gptq_w4_g64", "fp32", "gptq_w8_g64"]
    ordered = plots.in_order(records.as_table([record(v) for v in names]))
    assert plots.variants_of(ordered) == [names[i] for i in (3, 4, 2, 1, 0)]
    assert plots.variants_of(plots.curves(ordered)) == [names[i] for i in (3, 4, 2, 0)]
    assert plots.variants_of(plots.curves(ordered[3:4])) == ["bnb_nf4"]


def test_last_sentences_and_the_even_twin_stay_out_of_the_main_figures():
    rows = [record("fp32"), record("fp32", 0.1, condition="last_sentence")]
    rows.append(record("fp32", 0.2, data.EVEN_MODEL))
    assert plots.on_whole_passages(records.as_table(rows))["value"].tolist() == [0.5]
