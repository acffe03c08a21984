"""What notebook 03 says of its committed runs beside intervals, held to their records."""

import committed
import pytest
import shown
from conftest import ROOT
from test_prose import DEEP, TINY

from qlab.core import records

PROSE, TABLE = shown.prose("03_"), committed.table("resnet_qat", "small")


def test_sizes_and_images_in_the_prose_are_committed_records():
    whole = records.value(TABLE, "fp32", "size_bytes")
    for variant in ("qat_w8a8_last22", "qat_w4a8_last22"):
        assert f"`{variant}` {records.value(TABLE, variant, 'size_bytes') / whole:.3f}" in PROSE
    told = f"{records.pick(TABLE, 'accuracy')['n'].max():,} test images"
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert told in PROSE and f"{told} of CIFAR-10" in readme


@pytest.mark.parametrize("method", ["qat_w4", "qat_w8"])
def test_the_worst_corruption_in_the_prose_is_a_committed_record(method):
    table = records.pick(TABLE, "accuracy_difference_over_seeds").dropna(subset="condition")
    table = table[table["variant"].str.startswith(method)]
    row = table.loc[table["value"].idxmin()]
    said = f"`{row['variant']}` at {row['condition']} {row['strength']}: "
    assert said + records.interval(row, "+z.1f", 100) in PROSE


def test_the_lack_of_fit_in_the_prose_is_that_of_the_records():
    for place, bits, form, said in (
        (TINY, 4, ".2f", "for MLPerf's ResNet-8 (three seeds, p = {})"),
        (DEEP, 4, ".2f", "which loses next to nothing (p = {})"),
        (DEEP, 8, ".3f", "at eight bits it is refuted for ResNet-32 (p = {})"),
    ):
        found = records.pick(committed.table("resnet_qat", place), "formula_fits", bits=bits)
        assert said.format(f"{found['value'].iloc[0]:{form}}"[1:]) in PROSE
