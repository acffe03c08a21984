"""Bring tables of records of the first edition into the columns of the second.

    python workflow/migrate_records.py FOLDER_OR_CSV ...

The first edition pressed what a number is about into the names of variants, metrics and data sets;
this script is the last place that takes such names apart. Values, intervals and counts stay as they
stand in the file, digit for digit; what was written already with the new columns is left alone.
"""

import json
import re
import sys
from pathlib import Path

import pandas as pd

from qlab.by_hand.measure import METRICS as BY_HAND
from qlab.classifier.measure import METRICS as CLASSIFIER
from qlab.core import records
from qlab.core.records import COLUMNS, KEY, Metric
from qlab.detector.measure import METRICS as DETECTOR
from qlab.evidence.measure import METRICS as EVIDENCE
from qlab.language.metrics import METRICS as LANGUAGE

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
from bench import METRICS as BENCHMARKS  # noqa: E402

OLD = COLUMNS[:12]
UNITS = {"cpu": "", "cpu_1_thread": ", 1 thread", "cpu_2_threads": ", 2 threads",
         "cpu_2_cores": ", 2 cores", "2_workers": ", 2 workers"}  # fmt: skip
CORRUPTED = re.compile(
    r"(?P<dataset>.+)_(?P<condition>clean|noise|blur|contrast|jpeg)(?P<strength>\d?)"
)
MEASURED_EFFECTS = ("inference_latency", "inference_energy")  # of our own experiments
EFFECT = re.compile(
    r"(?P<part>.+?)_(?P<metric>belief|conflict(_last_step_high|_last_step_low|_pairwise)?|i_squared"
    r"|improvement|intensity_(high|low)|plausibility|studies)(?P<condition>_reading_a)?"
)


def _corrupted(row: dict) -> dict:
    found = CORRUPTED.fullmatch(row["dataset"])
    return found.groupdict() | {"strength": int(found["strength"] or 0)} if found else {}


def _by_hand(row: dict) -> dict:
    found = re.match(r"([a-z]+)_w(\d)_", row["variant"])
    return {"method": found[1], "bits": int(found[2])} if found else {}


def _detector(row: dict) -> dict:
    about = _corrupted(row)
    if row["variant"] != "image":
        about["bits"] = {"fp32": 32, "fp16": 16}.get(row["variant"], 8)
    if found := re.fullmatch(r"operator_ms_(xnnpack|builtin)_(.+)", row["metric"]):
        builtin = "_builtin" * (found[1] == "builtin")
        about |= {"metric": f"operator{builtin}_ms", "part": found[2]}
    if found := re.fullmatch(r"snr_db_(network|decoding)_(\d+)_(.+)", row["metric"]):
        about |= {"metric": "snr_db", "where": found[1], "depth": int(found[2]), "part": found[3]}
    return about


def _language(row: dict) -> dict:
    about = {}
    plain = {"fp32": (None, 32), "fp16": (None, 16), "bnb_int8": ("bnb", 8), "bnb_nf4": ("bnb", 4),
             "bnb_fp4": ("bnb", 4)}  # fmt: skip
    if row["variant"] in plain:
        about["method"], about["bits"] = plain[row["variant"]]
    if found := re.fullmatch(r"([a-z]+)_w(\d)_g(\d+)(_lora)?", row["variant"]):
        about["method"] = found[1] + (found[4] or "")
        about |= {"bits": int(found[2]), "group_size": int(found[3])}
    if found := re.fullmatch(r"top(\d+)_(.+)", row["metric"]):
        about |= {"metric": f"top_{found[2]}", "k": int(found[1])}
    if found := re.fullmatch(r"layer_error_(\d+)_(.+)", row["metric"]):
        about |= {"metric": "layer_error", "depth": int(found[1]), "part": found[2]}
    if row["dataset"].endswith("_last_sentence"):
        about |= {"dataset": row["dataset"].removesuffix("_last_sentence")}
        about["condition"] = "last_sentence"
    return about


def _classifier(row: dict) -> dict:
    about = _corrupted(row)
    if row["variant"] in ("fp32", "fp32_tuned"):
        about["bits"] = 32
    if found := re.fullmatch(
        r"(qat|qatcold|ptq|update)_w(\d+)(?:a8)?_(last|first|only)(\d+)(_trained_only|_but_pool)?",
        row["variant"],
    ):
        about["method"] = found[1] + (found[5] or "")
        about |= {"bits": int(found[2]), "where": found[3], "k": int(found[4])}
    return about


def _evidence(row: dict) -> dict:
    found = EFFECT.fullmatch(row["metric"])
    about = found.groupdict()
    about["condition"] = "reading_a" if about["condition"] else None
    ours = row["model"] in ("ours", "six_studies_and_ours")
    return about | {"clock": ours and about["part"] in MEASURED_EFFECTS}


def _bench_centernet(row: dict) -> dict:
    about = {"bits": {"fp32": 32, "onnx_fp32": 32, "fp16": 16}.get(row["variant"], 8)}
    threads = UNITS[row["device"]].removeprefix(", ")
    return about | ({"condition": threads} if threads else {})


def _bench_streaming(row: dict) -> dict:
    found = re.fullmatch(r"(gptq|rtn)_w(\d)_g(\d+)", row["variant"])
    if not found:
        return {"bits": 16}
    return {"method": found[1], "bits": int(found[2]), "group_size": int(found[3])}


EXPERIMENTS = {
    "bench_centernet_r50v2_512": (_bench_centernet, BENCHMARKS),
    "bench_lambada_lm_eval": (lambda row: {}, BENCHMARKS),
    "bench_streaming_memory": (_bench_streaming, BENCHMARKS),
    "bench_sweep_scaling": (lambda row: {}, BENCHMARKS),
    "by_hand": (_by_hand, BY_HAND),
    "centernet_ptq": (_detector, DETECTOR),
    "llama_gptq": (_language, LANGUAGE),
    "resnet_qat": (_classifier, CLASSIFIER),
    "evidence_synthesis": (_evidence, EVIDENCE),
}


def processor_of(row: dict, origin: dict) -> str:
    """The processor a record was measured on, by its table's provenance.

    The long sweep was merged from two machines: the second measured seed 2, memory and the export
    with pooling left float.
    """
    parts = origin.get("merged_from")
    if not parts:
        return origin["hardware"]["processor"]
    second = (
        row["seed"] == "2"
        or row["metric"] == "train_peak_memory_bytes"
        or row["variant"].endswith("_but_pool")
    )
    return parts[second]["hardware"]["processor"]


def migrated(table: pd.DataFrame, origin: dict) -> pd.DataFrame:
    """A table of the first edition's columns, all as text, with those of the second."""
    rows = []
    for row in table.to_dict("records"):
        about, metrics = EXPERIMENTS[row["experiment"]]
        new = dict.fromkeys(COLUMNS) | row | about(row)
        metric = metrics.get(new["metric"], Metric(row["unit"]))
        new = {"clock": metric.clock, "better": metric.better} | {
            k: v for k, v in new.items() if v is not None
        }
        new["device"] = processor_of(row, origin) + UNITS[row["device"]]
        rows.append(new)
    whole = dict.fromkeys(("bits", "group_size", "k", "depth", "strength"), "Int64")
    return pd.DataFrame(rows, columns=COLUMNS).astype({"clock": bool} | whole)


def migrate(file: Path) -> bool:
    """Rewrite one csv in place; False where there is nothing to do."""
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    if list(table.columns) == [name for name in COLUMNS if name != "parent"]:
        table.insert(COLUMNS.index("parent"), "parent", "")  # came last
        table.to_csv(file, index=False)
        records.read_file(file)  # which checks it
        return True
    if list(table.columns) != OLD or table["experiment"].iloc[0] not in EXPERIMENTS:
        return False
    origin = json.loads(records.provenance_path(file).read_text(encoding="utf-8"))
    new = migrated(table.replace("", None), origin)
    records.check(new, str(file))  # as everything that is read is
    keys = new.assign(**{c: pd.to_numeric(new[c]) for c in ("k", "depth", "strength", "seed")})
    new.loc[keys.sort_values(KEY, kind="stable").index].to_csv(file, index=False)
    return True


def main() -> None:
    """Migrate every csv below the given places."""
    for given in map(Path, sys.argv[1:]):
        for file in sorted(given.rglob("*.csv")) if given.is_dir() else [given]:
            if migrate(file):
                print(f"{file}: migrated")


if __name__ == "__main__":
    main()
