"""What notebook 01 says of its committed runs beside intervals, held to their records."""

import re
from collections.abc import Iterator
from functools import partial

import committed
import pytest
import shown
from conftest import ROOT

from qlab.core import records
from qlab.detector import plots

PROSE = shown.prose("01_")
TABLES = {profile: committed.table("centernet_ptq", profile) for profile in ("mini", "small")}


def sentences() -> Iterator[str]:
    """What the prose says with a number, from the records."""
    small = TABLES["small"]
    value = partial(records.value, small)  # of a variant's metric
    # Noise.
    ends = ("snr_end_db", "snr_end_mended_db")
    alone, mended = (records.pick(small, m).set_index("depth")["value"] for m in ends)
    broken = alone[(alone < 20) & (mended - alone > 10)]
    yield f"{len(broken)} convolutions of the squeeze-and-excite gates"
    yield f"at most {broken.max():.1f} dB"
    yield f"at least {mended[broken.index].min():.0f} dB"
    yield f"{int((mended < 20).sum())} operators still add more"
    # Worse images.
    for profile, v in (("small", "int8_selective"), ("small", "int8_dynamic"),
                       ("mini", "int8_selective")):  # fmt: skip
        extra = records.pick(TABLES[profile], "ap_difference_extra", variant=v)
        yield f"`{v}` in {(extra['ci_high'] < 0).sum()} of 12"
    rows = records.pick(small, "ap_difference", variant="int8_dynamic")
    least = rows.loc[rows["strength"] > 0, "value"].min()
    yield f"never more than {-100 * least:.1f} points below float"
    rows = records.pick(small, "ap_difference_extra", variant="fp16").query("ci_high < 0")
    yield f"`fp16` is named in {len(rows)} of 12, by at most {-100 * rows['value'].min():.2f}"
    # Sizes.
    for v in ("int8_selective", "int4_mixed"):
        yield f"`{v}` {value(v, 'size_bytes') / value('fp32', 'size_bytes'):.3f}"
    kinds = ("size_gzip_bytes", "size_bytes")
    for table in TABLES.values():
        packed, plain = (records.value(table, "fp32", m) for m in kinds)
        yield f"`fp32` {packed / plain:.2f}"
    packed, plain = (value("int8_dynamic", m) / value("fp32", m) for m in kinds)
    yield f"`int8_dynamic` has {packed:.2f} of float's bytes"
    yield f"not {plain:.2f}"
    # Objects.
    yield f"of {records.pick(small, 'flips_lost')['n'].max()} objects"
    for variant in ("int8_selective", "int8_dynamic"):
        lost, won = (value(variant, f"flips_{way}") for way in ("lost", "gained"))
        yield f"`{variant}` loses {lost:.0f} and gains {won:.0f}"
    # Differences that the figures by overlap and size draw.
    by = [*plots.OVERLAP_LABELS, *(k for ways in plots.AREA_LABELS.values() for k in ways)]
    drawn = records.pick(small, [f"{metric}_difference" for metric in by], condition=None)
    names = drawn["variant"]
    drawn = drawn[~names.str.startswith("int4") & (names != "int8_static")]
    off = (drawn["ci_low"] > 0) | (drawn["ci_high"] < 0)
    yield f"{off.sum()} of the {len(drawn)} intervals"


@pytest.mark.parametrize("sentence", list(sentences()))
def test_a_number_in_the_prose_is_a_committed_record(sentence):
    assert sentence in PROSE


def test_three_quarters_of_the_mixed_weights_have_four_bits():
    [copy] = (ROOT / "docs" / "executed" / "small").glob("01_*")
    [share] = {*re.findall(r"int4_mixed +[\d.]+% FLOAT32, ([\d.]+)% INT4", copy.read_text("utf-8"))}
    assert float(share) == pytest.approx(75, abs=1) and "three quarters of its weights" in PROSE
