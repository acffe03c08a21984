"""Numbers with an interval in notebooks' and README's prose are committed records, all of them;
and executed copies are of the notebooks as they are.

In a notebook such a number stands behind the name of its variant, of a sibling of the model, or of
the corruption that its images have; one of another profile or metric than meant changes the counts
here. README's prose has no names: what it tells is listed.
"""

import re
from collections import Counter

import committed
import nbformat
import pandas as pd
import pytest
import shown
from conftest import ROOT

from qlab.core import records

README = (ROOT / "README.md").read_text(encoding="utf-8")
EXECUTED = sorted((ROOT / "docs" / "executed" / "small").glob("*.ipynb"))
INTERVAL = r"[+-]?\d+\.\d+ \[[^\]]+\]"
TINY = "small-mlperf_tiny_resnet8-a751f10d"
DEEP = "small-resnet32_cifar10-56d289ca"
PLAIN, OVER, PTQ, TUNED, *MINUS = "accuracy_difference", *(
    f"accuracy_{of}_over_seeds"
    for of in ("difference", "minus_ptq", "minus_tuned", "minus_last", "minus_last_third",
               "minus_feed_forward")
)  # fmt: skip
LAST, LAST_THIRD, FEED_FORWARD = MINUS
# By notebook: its experiment; by profile, how many different records of a metric the prose tells.
TOLD = {
    "01_": ("centernet_ptq", {
        "mini": {"ap_difference": 3, "latency_ratio_p50": 1, "latency_builtin_ratio_p50": 1},
        "small": {"ap_difference": 12, "latency_ratio_p50": 4, "latency_builtin_ratio_p50": 2},
    }),
    "02_": ("llama_gptq", {
        "mini": {"acc_difference": 14, "part_difference": 7, "recovered_share": 2},
        "small": {"acc_difference": 23, "part_difference": 9, "recovered_share": 1,  # twins too
                  "trained_alike_difference": 1,
                  "gap_growth_k1_k10": 4, "tokens_per_s_decode_ratio": 5,
                  "tokens_per_s_prefill_ratio": 3},
        "small-sweep-calibration": {"acc_difference": 5},
        "benchmarks": {"times_faster_decode": 9, "times_faster_prefill": 4,
                       "top1_agreement": 2, "peak_memory_bytes": 2},
    }),
    "03_": ("resnet_qat", {
        "mini": {PLAIN: 3, PTQ: 1},
        "small": {PLAIN: 6, OVER: 5, PTQ: 2, TUNED: 1, LAST: 2, "train_step_ratio": 3},
        TINY: {PLAIN: 5, OVER: 1, PTQ: 1, LAST: 2},
        DEEP: {PLAIN: 5, OVER: 2, PTQ: 1, LAST: 1},
    }),
    "06_": ("transformer_qat", {
        "mini": {OVER: 13, PTQ: 3, TUNED: 2, LAST_THIRD: 8, FEED_FORWARD: 2,
                 "train_step_ratio": 2},
    }),
}  # fmt: skip
# What README tells: experiment, profile, metric, variants.
IN_README = [
    ("centernet_ptq", "small", "ap_difference", "int8_static int8_selective int4_mixed"),
    ("centernet_ptq", "small", "latency_ratio_p50", "int8_selective"),
    ("centernet_ptq", "small", "ap_difference", "int8_selective", "jpeg", 2),
    ("centernet_ptq", "mini", "ap_difference", "int8_static"),
    ("llama_gptq", "small", "acc_difference",
     "gptq_w8_g64 gptq_w4_g64 bnb_nf4 gptq_w2_g64 autoround_w2_g64"),
    ("llama_gptq", "mini", "acc_difference", "gptq_w4_g64"),
    ("resnet_qat", "small", PLAIN, "ptq_w8a8_last22 ptq_w4a8_last22"),
    ("resnet_qat", "small", OVER, "qat_w4a8_last22"),
    ("resnet_qat", "small", PTQ, "qat_w4a8_last22"),
    ("resnet_qat", TINY, PLAIN, "ptq_w4a8_first1 ptq_w4a8_last10"),
    ("resnet_qat", TINY, OVER, "qat_w4a8_last10"),
    ("resnet_qat", DEEP, PLAIN, "ptq_w4a8_last34"),
    ("resnet_qat", "mini", PLAIN, "ptq_w4a8_last10"),
]  # fmt: skip


def written(row) -> str:
    """A record with its interval as prose writes it: points, nats, or a share of float's."""
    if re.search("ratio|share|times_faster|agreement|memory", row["metric"]):
        return records.interval(row, ".2f", 1e-9 if row["unit"] == "byte" else 1)
    form, scale = ("+.2f", 1) if row["metric"] == "part_difference" else ("+.1f", 100)
    return unsigned(records.interval(row, form, scale))


def unsigned(text: str) -> str:
    """The same without a sign that rounding left before 0."""
    return re.sub(r"[+-](0\.0+)\b", r"\1", text)


def named(row) -> str:
    """The same behind the name that it is told by."""
    if pd.notna(row["strength"]):
        return f"{row['condition']} {row['strength']:.0f}: {written(row)}"
    return f"`{row['model' if '_seed' in row['model'] else 'variant']}` {written(row)}"


@pytest.mark.parametrize("notebook", TOLD)
def test_every_interval_in_a_notebooks_prose_is_a_committed_record_of_its_profile(notebook):
    experiment, profiles = TOLD[notebook]
    prose = unsigned(shown.prose(notebook))
    told = re.findall(rf"(?:`[\w.-]+`|[a-z]+ \d:) {INTERVAL}", prose)
    assert len(told) == len(re.findall(INTERVAL, prose)) > 20
    unknown, found = set(told), {}
    for profile, metrics in profiles.items():
        told_of = "language_kernels" if profile == "benchmarks" else experiment
        rows = records.pick(committed.table(told_of, profile), [*metrics])
        # Of what is compared with another place, only that is told.
        placed = rows["variant"].isin(rows[rows["metric"].isin(MINUS)]["variant"])
        rows = rows[~placed | (rows["metric"] != OVER)]
        here = {(row["metric"], named(row)) for _, row in rows.iterrows()}
        unknown -= {text for _, text in here}
        found[profile] = Counter(metric for metric, text in here if text in told)
    assert not unknown and found == profiles


def test_every_interval_in_readmes_prose_is_a_committed_record():
    known = set()
    for experiment, profile, metric, variants, *worse in IN_README:
        table = committed.table(experiment, profile)
        for variant in variants.split():
            condition, strength = worse or (None, None)
            where = {"variant": variant, "condition": condition, "strength": strength}
            known.add(written(records.pick(table, metric, **where).iloc[0]))
    prose = " ".join(line for line in README.splitlines() if not line.startswith("|"))
    told = re.findall(INTERVAL, unsigned(prose))
    assert {*told} == known


@pytest.mark.parametrize("file", EXECUTED, ids=lambda file: file.stem)
def test_an_executed_copy_is_of_the_notebooks_cells_and_small(file):
    cells, own = (
        [c for c in nbformat.read(f, 4).cells if c.cell_type == "code"]
        for f in (file, ROOT / "notebooks" / file.name)
    )
    cells = [c for c in cells if "injected-parameters" not in c.metadata.get("tags", [])]
    assert [c.source for c in cells] == [c.source for c in own]
    assert len(EXECUTED) == 3 and file.stat().st_size < 2 * 10**6
