"""Numbers with an interval in notebooks' and README's prose are committed records, all of them;
and executed copies are of the notebooks as they are.

In a notebook such a number stands behind the name of its variant, of a sibling of the model, or of
the corruption that its images have. README's prose has no names: what it tells is listed here.
"""

import re

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
# By notebook: experiment, profiles and metrics that the prose may tell.
TOLD = {
    "01_": ("centernet_ptq", ("mini", "small"),
            ("ap_difference", "latency_ratio_p50", "latency_builtin_ratio_p50")),
    "02_": ("llama_gptq", ("mini", "small"),
            ("acc_difference", "part_difference", "recovered_share", "gap_growth_k1_k10",
             "tokens_per_s_decode_ratio", "tokens_per_s_prefill_ratio")),
    "03_": ("resnet_qat", ("mini", "small", TINY, DEEP),
            (PLAIN, OVER, PTQ, TUNED, *MINUS, "train_step_ratio")),
    "06_": ("transformer_qat", ("mini",), (OVER, PTQ, TUNED, *MINUS, "train_step_ratio")),
}  # fmt: skip
# Numbers that the prose must tell, of which profile: notebook, profile, metric, variants; and the
# model and the part, where there are several.
FEW = "gptq_w3_g64 rtn_w3_g64 gptq_w2_g64 rtn_w2_g64 autoround_w2_g64"
GPTQ = "gptq_w4_g64 gptq_w3_g64 gptq_w2_g64"
REAL, EMBEDDED, EVEN = "SmolLM2-135M-Instruct.Q4_1", "llama_mini", "llama_mini_even"
ATTENTION, ENDS = "attention minus MLP, as many bytes", "first third minus last third"
QUERIES = "query, key minus value, output"
SAID = [
    ("01_", "small", "ap_difference", "fp16 int8_dynamic int8_static int16x8 int8_selective int4 "
     "int4_octav int8_dynamic_depthwise_fp32 int4_mixed int4_gptq"),
    ("01_", "small", "latency_ratio_p50",
     "int8_dynamic int8_dynamic_depthwise_fp32 int8_selective int8_static"),
    ("01_", "small", "latency_builtin_ratio_p50", "int8_dynamic int8_selective"),
    ("01_", "mini", "ap_difference", "int8_static int8_selective int4_mixed"),
    ("01_", "mini", "latency_ratio_p50", "int8_dynamic"),
    ("01_", "mini", "latency_builtin_ratio_p50", "int8_dynamic"),
    ("02_", "mini", "acc_difference",
     f"gptq_w8_g64 rtn_w8_g64 gptq_w4_g64 rtn_w4_g64 bnb_nf4 {FEW}", EMBEDDED),
    ("02_", "mini", "acc_difference", "gptq_w2_g64 rtn_w2_g64", EVEN),
    ("02_", "mini", "part_difference", GPTQ, EMBEDDED, ATTENTION),
    *(("02_", "mini", "part_difference", "gptq_w4_g64 gptq_w2_g64", EMBEDDED, part)
      for part in (ENDS, QUERIES)),
    ("02_", "mini", "recovered_share", "gptq_w3_g64_lora gptq_w2_g64_lora", EMBEDDED),
    ("02_", "small", "acc_difference", "gptq_w8_g64 rtn_w8_g64 bnb_int8 gptq_w4_g64 rtn_w4_g64 "
     f"bnb_nf4 bnb_fp4 {FEW}", REAL),
    *(("02_", "small", "part_difference", GPTQ, REAL, part) for part in (ATTENTION, ENDS, QUERIES)),
    ("02_", "small", "gap_growth_k1_k10", GPTQ, REAL),
    ("02_", "small", "recovered_share", "gptq_w3_g64_lora", REAL),
    ("02_", "small", "tokens_per_s_decode_ratio", "bnb_nf4 gptq_w4_g64", REAL),
    ("03_", "small", PLAIN, "ptq_w8a8_last22 ptq_w4a8_last22 ptq_w4a8_last11 ptq_w4a8_first11 "
     "ptq_mse_w4a8_last22 ptq_octav_w4a8_last22"),
    ("03_", "small", OVER, "fp32_tuned qat_w8a8_last22 qat_w4a8_last22"),
    ("03_", "small", PTQ, "qat_w8a8_last22 qat_w4a8_last22"),
    ("03_", "small", TUNED, "qat_w4a8_last22"),
    *(("03_", place, MINUS[0], "ptq_w4a8_first_minus_last qat_w4a8_first_minus_last")
      for place in ("small", TINY)),
    ("03_", "mini", PLAIN, "ptq_w8a8_last10 ptq_raw_w8a8_last10 ptq_w4a8_last10"),
    ("03_", TINY, PLAIN, "ptq_w4a8_last10 ptq_w4a8_first1 ptq_w4a8_last1 ptq_w8a8_last10 "
     "published_int8"),
    *(("03_", place, metric, f"qat_w4a8_last{n}") for place, n in ((TINY, 10), (DEEP, 34))
      for metric in (OVER, PTQ)),
    ("03_", DEEP, PLAIN, "ptq_w4a8_last34 ptq_w8a8_last34 ptq_octav_w4a8_last34"),
    ("03_", DEEP, MINUS[0], "ptq_w4a8_first_minus_last"),
    ("06_", "mini", OVER, "ptq_w2_g32_all qat_w2_g32_all ptq_w4_g32_all", "bert_mini_reviews"),
    ("06_", "mini", PTQ, "qat_w2_g32_all qat_w2_g32_attention", "bert_mini_reviews"),
    *(("06_", "mini", metric, "ptq_w2_g32_attention qat_w2_g32_attention", "bert_mini_reviews")
      for metric in MINUS[1:]),
]  # fmt: skip
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
    if re.search("ratio|share", row["metric"]):
        return records.interval(row, ".2f")
    form, scale = ("+.2f", 1) if row["metric"] == "part_difference" else ("+.1f", 100)
    return unsigned(records.interval(row, form, scale))


def unsigned(text: str) -> str:
    """The same without a sign that rounding left before 0."""
    return re.sub(r"[+-](0\.0+)\b", r"\1", text)


@pytest.mark.parametrize("notebook", TOLD)
def test_every_interval_in_a_notebooks_prose_is_a_committed_record(notebook):
    experiment, profiles, metrics = TOLD[notebook]
    known = set()
    for profile in profiles:
        rows = records.pick(committed.table(experiment, profile), [*metrics])
        # Of what is compared with another place, only that is told.
        placed = rows["variant"].isin(rows[rows["metric"].isin(MINUS)]["variant"])
        for _, row in rows[~placed | (rows["metric"] != OVER)].iterrows():
            name = f"`{row['model' if '_seed' in row['model'] else 'variant']}`"
            if pd.notna(row["strength"]):
                name = f"{row['condition']} {row['strength']:.0f}:"
            known.add(f"{name} {written(row)}")
    prose = unsigned(shown.prose(notebook))
    told = re.findall(rf"(?:`[\w.-]+`|[a-z]+ \d:) {INTERVAL}", prose)
    assert len(told) == len(re.findall(INTERVAL, prose)) > 20
    assert [one for one in told if one not in known] == []


@pytest.mark.parametrize(("notebook", "profile", "metric", "variants", "which"),
                         [(*one[:4], one[4:]) for one in SAID])  # fmt: skip
def test_what_the_prose_must_tell_is_a_record_of_that_profile(
    notebook, profile, metric, variants, which
):
    table = committed.table(TOLD[notebook][0], profile)
    where = dict(zip(("model", "part"), which, strict=False))
    where |= {} if len(which) > 1 else {"condition": None}
    prose = unsigned(shown.prose(notebook))
    for variant in variants.split():
        rows = records.pick(table, metric, variant=variant, **where)
        assert len(rows) == 1 and f"`{variant}` {written(rows.iloc[0])}" in prose, variant


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
