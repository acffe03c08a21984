"""What notebook 01 says of its committed runs, held to their records."""

import committed
import nbformat
import pytest
from conftest import ROOT

from qlab.core import records

NOTEBOOK = ROOT / "notebooks" / "01_compress_centernet_with_tflite_ptq.ipynb"
CELLS = nbformat.read(NOTEBOOK, 4).cells
PROSE = " ".join(" ".join(c.source for c in CELLS if c.cell_type == "markdown").split())
POINTS, TIMES, SHARE = "{:+.1f} [{:+.1f}, {:+.1f}]", "{:.2f} [{:.2f}, {:.2f}]", "{:.3f}"
LOST, TIME = "ap_difference", "latency_ratio_p50"
SAID = [  # profile, variant, metric, how it is written
    *(("small", v, LOST, POINTS) for v in ("fp16", "int8_dynamic", "int8_static", "int16x8")),
    *(("small", v, LOST, POINTS) for v in ("int8_selective", "int8_dynamic_depthwise_fp32")),
    *(("small", v, LOST, POINTS) for v in ("int4", "int4_octav", "int4_mixed", "int4_gptq")),
    *(("mini", v, LOST, POINTS) for v in ("int8_static", "int8_selective", "int4_mixed")),
    *(("small", v, TIME, TIMES) for v in ("int8_dynamic", "int8_dynamic_depthwise_fp32")),
    *(("small", v, TIME, TIMES) for v in ("int8_selective", "int8_static")),
    ("small", "int8_dynamic", "latency_builtin_ratio_p50", TIMES),
    ("mini", "int8_dynamic", TIME, TIMES),
    ("mini", "int8_dynamic", "latency_builtin_ratio_p50", TIMES),
    *(("small", v, "size_bytes", SHARE) for v in ("int8_selective", "int4_mixed")),
]


def told(profile: str, variant: str, metric: str, form: str, condition=None, strength=None) -> str:
    """A record as the prose writes it: AP in points, bytes as a share of float's."""
    table = records.pick(committed.table("centernet_ptq", profile), metric, condition=condition)
    table = table if strength is None else table[table["strength"] == strength]
    row = table[table["variant"] == variant].iloc[0]
    if metric == "size_bytes":
        return form.format(row["value"] / table.loc[table["variant"] == "fp32", "value"].iloc[0])
    scale = 100 if metric == LOST else 1
    return form.format(*(scale * row[end] for end in ("value", "ci_low", "ci_high")))


@pytest.mark.parametrize(("profile", "variant", "metric", "form"), SAID)
def test_a_number_in_the_prose_is_a_committed_record(profile, variant, metric, form):
    assert f"`{variant}` {told(profile, variant, metric, form)}" in PROSE


def test_the_noise_that_the_prose_tells():
    table = committed.table("centernet_ptq", "small")
    alone = records.pick(table, "snr_end_db").set_index("depth")["value"]
    mended = records.pick(table, "snr_end_mended_db").set_index("depth")["value"]
    broken = alone[(alone < 20) & (mended - alone > 10)]
    assert f"{len(broken)} convolutions of the squeeze-and-excite gates" in PROSE
    assert f"at most {broken.max():.1f} dB" in PROSE
    assert f"at least {mended[broken.index].min():.0f} dB" in PROSE
    assert f"{int((mended < 20).sum())} operators still add more" in PROSE


def test_the_silent_regression_that_the_prose_tells():
    for condition, strength in (("jpeg", 2), ("blur", 1)):
        lost = told("small", "int8_selective", LOST, POINTS, condition, strength)
        assert f"{condition} {strength}: {lost}" in PROSE
    for profile, variant in (("small", "int8_selective"), ("small", "int8_dynamic"),
                             ("mini", "int8_selective")):  # fmt: skip
        assert f"`{variant}` in {worse(profile, variant)} of 12" in PROSE
    table = records.pick(committed.table("centernet_ptq", "small"), LOST, variant="int8_dynamic")
    least = 100 * table.loc[table["strength"] > 0, "value"].min()
    assert f"never more than {-least:.1f} points below float" in PROSE


def test_the_sizes_that_the_prose_tells():
    for profile in ("mini", "small"):
        table = committed.table("centernet_ptq", profile)
        share = records.value(table, "fp32", "size_gzip_bytes") / records.value(
            table, "fp32", "size_bytes"
        )
        assert f"`fp32` {share:.2f}" in PROSE
    packed, plain = (
        records.value(table, "int8_dynamic", m) / records.value(table, "fp32", m)
        for m in ("size_gzip_bytes", "size_bytes")
    )
    assert f"`int8_dynamic` has {packed:.2f} of float's bytes" in PROSE
    assert f"not {plain:.2f}" in PROSE
    four, eight, full = (
        records.value(table, "int4_mixed", f"size_{kind}_bytes") / width
        for kind, width in (("int4", 0.5), ("int8", 1), ("float32", 4))
    )
    assert four / (four + eight + full) == pytest.approx(0.75, abs=0.01)
    assert "three quarters of its weights" in PROSE


def test_the_regression_that_nobody_sees():
    table = records.pick(committed.table("centernet_ptq", "small"), "ap_difference_extra")
    rows = table[(table["variant"] == "fp16") & (table["ci_high"] < 0)]
    most = f"`fp16` is named in {len(rows)} of 12, by at most {-100 * rows['value'].min():.2f}"
    assert most in PROSE


def test_the_objects_that_the_prose_counts():
    table = committed.table("centernet_ptq", "small")
    lost, won = (
        records.value(table, "int8_selective", f"flips_{way}") for way in ("lost", "gained")
    )
    assert f"of {records.pick(table, 'flips_lost')['n'].max()} objects" in PROSE
    assert f"`int8_selective` loses {lost:.0f} and gains {won:.0f}" in PROSE


def worse(profile: str, variant: str) -> int:
    """Conditions in which a variant loses more than on clean images."""
    table = records.pick(committed.table("centernet_ptq", profile), "ap_difference_extra")
    return int((table[table["variant"] == variant]["ci_high"] < 0).sum())


def test_the_executed_copy_is_of_these_cells():
    committed.assert_executed(NOTEBOOK)
