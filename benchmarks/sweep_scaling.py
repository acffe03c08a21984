"""How a sweep's time falls with workers and grows with points. Needs a quiet machine of two cores.

    python benchmarks/sweep_scaling.py [--quick] [--help]

Every run is a real `make sweep` in an empty folder: points of the embedded Llama, profile smoke,
one thread each. The parallel part is the time from the start of the first point's job to the end of
the last one's, with interpreters and imports but without planning and merging. Efficiency is
T1 / (2 T2) of that part, with runs of one and two workers taken in turn. Cost is a whole run's
processor time by number of points.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import bench
import numpy as np
import pandas as pd
import yaml

from qlab.core import paths, provenance
from qlab.core.records import Record
from qlab.core.stats import Estimate

NAME = "sweep_scaling"
BITS = {3: [4, 2], 5: [8, 4, 3, 2]}  # by points per model, the float one included
MODELS = ["llama_mini", "llama_mini_even"]
RECORD, SUBJECT = bench.recorder(NAME), bench.Subject("llama_mini", "mini_lambada")


class Run(NamedTuple):
    """Seconds of one sweep."""

    whole: float
    parallel: float  # from the first point's start to the last one's end
    processor: float  # user and system, of all processes


def sweep(each: int, models: int, workers: int) -> Run:
    """Run a sweep with `each` points for each of so many models, in an empty folder."""
    axes = {"method": ["rtn"], "bits": BITS[each], "group": [64], "model": MODELS[:models]}
    entry = {"experiment": "llama_gptq", "profile": "smoke", "axes": axes | {"seed": [0]}}
    with tempfile.TemporaryDirectory() as folder:
        description = Path(folder, "sweeps.yaml")
        description.write_text(yaml.safe_dump({"timed": entry}))
        Path(folder, "data").mkdir()
        for part in ("models", "mini_lambada"):
            Path(folder, "data", part).symlink_to(paths.home() / "data" / part)
        there = f"--directory {folder} --config sweeps={description} sweep=timed"
        call = ["make", "-o", ".venv/.installed", "sweep", "SWEEP=timed"]
        before, started = processor_seconds(), time.perf_counter()
        done = subprocess.run(
            [*call, f"ARGS={there} --cores {workers}"],
            cwd=paths.home(), capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            sys.exit(done.stderr)
        whole = time.perf_counter() - started
        return Run(whole, parallel_seconds(Path(folder)), processor_seconds() - before)


def processor_seconds() -> float:
    """Processor seconds of all children that have ended, and of their children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def parallel_seconds(folder: Path) -> float:
    """Seconds from the first point's start to the last one's end, by Snakemake's own notes."""
    files = (f for f in (folder / ".snakemake" / "metadata").rglob("*") if f.is_file())
    told = [json.loads(file.read_text()) for file in files]
    points = [one for one in told if one.get("rule") == "point"]
    return max(one["endtime"] for one in points) - min(one["starttime"] for one in points)


def efficiency_records(pairs: Sequence[tuple[Run, Run]], points: int) -> list[Record]:
    """Records of pairs of runs with one and two workers; the interval is the range over pairs."""
    found = []
    for part in Run._fields:
        one, two = (np.array([getattr(p[i], part) for p in pairs]) for i in (0, 1))
        found += [_record(f"{part}_s_1_worker", one, points)]
        found += [_record(f"{part}_s_2_workers", two, points)]
        if part != "processor":
            found.append(_record(f"{part}_efficiency", one / (2 * two), points))
    return found


def _record(metric: str, values: np.ndarray, points: int) -> Record:
    e = Estimate(float(np.median(values)), float(values.min()), float(values.max()), len(values))
    device = provenance.device("2 cores")
    return RECORD.estimated(SUBJECT, f"points_{points}", metric, e, device=device)


def cost_records(runs: dict[int, Run]) -> list[Record]:
    """Processor seconds for each number of points; slope, start and R2 of the line through them."""
    points = np.array(list(runs))
    cost = np.array([run.processor for run in runs.values()])
    slope, start = np.polyfit(points, cost, 1)
    r2 = 1 - ((cost - slope * points - start) ** 2).sum() / ((cost - cost.mean()) ** 2).sum()
    told = {"s_per_point": slope, "s_without_points": start, "line_r2": r2}
    each = [_record("processor_s", np.array([c]), n) for n, c in zip(points, cost, strict=True)]
    device = provenance.device("2 cores")
    return each + [
        RECORD.counted(SUBJECT, "line", metric, value, len(points), device=device)
        for metric, value in told.items()
    ]


def benchmark(options: argparse.Namespace) -> pd.DataFrame:
    """Measure, write and return the records; a quick run has no line through its costs."""
    started, load, quick = time.time(), bench.load(), options.quick
    os.environ.pop("QLAB_DATA", None)
    sweep(3, 1, 2)  # warm the disk's cache
    pairs = [(sweep(3, 2, 1), sweep(3, 2, 2)) for _ in range(1 if quick else 3)]
    found = efficiency_records(pairs, 6)
    if not quick:
        found += cost_records({each * m: sweep(each, m, 2) for each, m in ((3, 1), (5, 1), (5, 2))})
    origin = provenance.collect({"load_before": load}, {}, ["snakemake"], started)
    return bench.write(found, origin, options.out)


def report(table: pd.DataFrame) -> str:
    """The records as a table."""
    shown = table[["variant", "metric", "value", "ci_low", "ci_high", "n"]]
    return shown.round(3).to_string(index=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = bench.parse(bench.parser(__doc__, "one pair of runs"), NAME, arguments)
    return bench.main(options, benchmark, report)


if __name__ == "__main__":
    sys.exit(main())
