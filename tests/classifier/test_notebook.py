"""What notebook 03 says of its committed runs, held to their records."""

import committed
import nbformat
import pytest
from conftest import NOTEBOOKS, ROOT

from qlab.core import records

[NOTEBOOK] = [p for p in NOTEBOOKS if p.name.startswith("03_")]
CELLS = nbformat.read(NOTEBOOK, 4).cells
PROSE = " ".join(" ".join(c.source for c in CELLS if c.cell_type == "markdown").split())
README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
OVER, PLAIN = "accuracy_difference_over_seeds", "accuracy_difference"
PTQ, TUNED = "accuracy_minus_ptq_over_seeds", "accuracy_minus_tuned_over_seeds"
LAST = "accuracy_minus_last_over_seeds"
TINY = "small-mlperf_tiny_resnet8-a751f10d"
# Words behind a variant's name, what they are of, and how it is written.
SAID = [
    *(("small", v, PLAIN) for v in ("ptq_w8a8_last22", "ptq_w4a8_last22", "ptq_w4a8_last11")),
    *(("small", v, PLAIN) for v in ("ptq_w4a8_first11", "ptq_mse_w4a8_last22")),
    *(("small", v, PLAIN) for v in ("ptq_octav_w4a8_last22",)),
    *(("small", v, OVER) for v in ("fp32_tuned", "qat_w8a8_last22", "qat_w4a8_last22")),
    *(("small", v, PTQ) for v in ("qat_w8a8_last22", "qat_w4a8_last22")),
    *(("small", v, TUNED) for v in ("qat_w4a8_last22",)),
    *(("small", f"{m}_w4a8_first_minus_last", LAST) for m in ("ptq", "qat")),
    *(("mini", v, PLAIN) for v in ("ptq_w8a8_last10", "ptq_raw_w8a8_last10")),
    *((TINY, f"ptq_w4a8_{v}", PLAIN) for v in ("last10", "first1", "last1")),
    *((TINY, v, PLAIN) for v in ("ptq_w8a8_last10", "published_int8")),
    *((TINY, f"{m}_w4a8_first_minus_last", LAST) for m in ("ptq", "qat")),
    *((TINY, "qat_w4a8_last10", metric) for metric in (OVER, PTQ)),
    *(("mini", v, PLAIN) for v in ("ptq_w4a8_last10",)),
    *(("mini", v, PTQ) for v in ("qat_w8a8_last10",)),
]


def told(profile: str, variant: str, metric: str, scale: float = 100, form: str = "+z.1f") -> str:
    table = records.pick(committed.table("resnet_qat", profile), metric, condition=None)
    row = table[table["variant"] == variant].iloc[0]
    return records.interval(row, form, scale)


@pytest.mark.parametrize(("profile", "variant", "metric"), SAID)
def test_a_number_in_the_prose_is_a_committed_record(profile, variant, metric):
    assert f"`{variant}` {told(profile, variant, metric)}" in PROSE


def test_times_and_sizes_in_the_prose_are_committed_records():
    for variant in ("qat_w8a8_last22", "qat_w4a8_last22", "qat_w8a8_last1"):
        step = told("small", variant, "train_step_ratio", 1, ".2f")
        assert f"`{variant}` {step}" in PROSE
    table = committed.table("resnet_qat", "small")
    whole = records.value(table, "fp32", "size_bytes")
    for variant in ("qat_w8a8_last22", "qat_w4a8_last22"):
        assert f"`{variant}` {records.value(table, variant, 'size_bytes') / whole:.3f}" in PROSE


@pytest.mark.parametrize("method", ["qat_w4", "qat_w8"])
def test_the_worst_corruption_in_the_prose_is_a_committed_record(method):
    table = records.pick(committed.table("resnet_qat", "small"), OVER)
    table = table[table["condition"].notna() & table["variant"].str.startswith(method)]
    row = table.loc[table["value"].idxmin()]
    said = f"`{row['variant']}` at {row['condition']} {row['strength']}: "
    assert said + records.interval(row, "+z.1f", 100) in PROSE


def test_readme_tells_committed_records():
    said = [("qat_w4a8_last22", OVER), ("ptq_w4a8_last22", PLAIN), ("qat_w4a8_last22", PTQ)]
    assert all(told("small", *one) in README for one in [*said, ("ptq_w8a8_last22", PLAIN)])
    assert told("mini", "ptq_w4a8_last10", PLAIN) in README
    said = [("ptq_w4a8_first1", PLAIN), ("ptq_w4a8_last10", PLAIN), ("qat_w4a8_last10", OVER)]
    assert all(told(TINY, *one) in README for one in said)
    n = records.pick(committed.table("resnet_qat", "small"), "accuracy")["n"].max()
    assert f"{n:,} test images of CIFAR-10" in README and f"{n:,} test images" in PROSE


def test_the_executed_copy_is_of_this_notebook():
    committed.assert_executed(NOTEBOOK)
