"""What the benchmarks share: metrics, the command line, and writing and showing records."""

import argparse
import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from qlab.core import paths, records
from qlab.core.errors import QlabError
from qlab.core.records import Metric, Record, Recorder

RESULTS = Path(__file__).resolve().parents[1] / "results"
_TIMED = {
    **dict.fromkeys(("latency_ms_p50", "latency_ms_p90"), "ms"),
    **dict.fromkeys(("latency_builtin_ms_p50", "latency_builtin_ms_p90"), "ms"),
    **dict.fromkeys(("latency_ratio_p50", "latency_ratio_to_onnx_p50"), "1"),
    **dict.fromkeys(("latency_builtin_ratio_p50", "latency_builtin_ratio_to_onnx_p50"), "1"),
    **dict.fromkeys(("wall_s_p50", "wall_s_min", "wall_s_max", "wall_s_once", "cpu_s_p50"), "s"),
    **{f"{part}_s_1_worker": "s" for part in ("whole", "parallel", "processor")},
    **{f"{part}_s_2_workers": "s" for part in ("whole", "parallel", "processor")},
    **dict.fromkeys(("processor_s", "s_per_point", "s_without_points"), "s"),
    "peak_memory_bytes": "byte",
    **dict.fromkeys(("peak_memory_loading_bytes", "memory_imports_bytes"), "byte"),
    **dict.fromkeys(("load_s", "first_s"), "s"),
    **dict.fromkeys(("peak_memory_ratio", "memory_ratio"), "1"),
}
METRICS = {
    **{name: Metric(unit, -1, clock=True) for name, unit in _TIMED.items()},
    **dict.fromkeys(("times_faster", "times_faster_prefill", "times_faster_decode",
                     "whole_efficiency", "parallel_efficiency"), Metric("1", 1, clock=True)),
    **dict.fromkeys(("tokens_per_s_prefill", "tokens_per_s_decode"),
                    Metric("token/s", 1, clock=True)),
    "line_r2": Metric("1", clock=True),
    "size_bytes": Metric("byte", -1),
    **dict.fromkeys(("acc", "ap", "ap_difference", "top1_agreement"), Metric("1", 1)),
    "log_likelihood": Metric("nat", 1),
    "perplexity": Metric("1", -1),
    "batch_size": Metric("passage"),
    **dict.fromkeys(("float_operators_network", "float_operators_decoding"), Metric("operator")),
    **dict.fromkeys(("max_difference_boxes", "max_difference_scores"), Metric("1")),
}  # fmt: skip


class Subject(NamedTuple):
    """What a benchmark measures, as its records name it."""

    model: str
    dataset: str


def recorder(name: str) -> Recorder:
    """Make the recorder of a benchmark, which is named after its file."""
    return Recorder(f"bench_{name}", METRICS)


def threads(count: int) -> str:
    """A thread count as the records write it."""
    return f"{count} thread{'s' if count > 1 else ''}"


# ---- the command ----


def whole(text: str) -> int:
    """Parse a command line's whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"Expected a whole number of 1 or more; got '{text}'.")
    return int(text)


def parser(doc: str, quick: str) -> argparse.ArgumentParser:
    """A command line with what all benchmarks take, so that `make bench ARGS=--quick` suits all."""
    made = argparse.ArgumentParser(description=doc.splitlines()[0])
    switch = functools.partial(made.add_argument, action="store_true")
    made.add_argument("--out", type=Path, help="csv to write or to show (default: the committed "
                      "one; under build/ for a partial run)")  # fmt: skip
    switch("--quick", help=quick)
    switch("--no-peers", help="without the engines that it is compared with")
    switch("--show", help="print the csv that is there; measure nothing")
    return made


def parse(
    made: argparse.ArgumentParser,
    name: str,
    arguments: Sequence[str] | None,
    partial: Callable[[argparse.Namespace], bool] = lambda options: options.quick,
) -> argparse.Namespace:
    """The options, with the csv to write or show: partial runs leave the committed one alone."""
    options = made.parse_args(arguments)
    default = paths.build() if partial(options) and not options.show else RESULTS
    options.out = options.out or default / f"{name}.csv"
    if options.out.suffix != ".csv":
        made.error(f"--out must be a .csv file; got '{options.out}'.")
    return options


def load() -> float:
    """The machine's load; prints a warning if it is busy."""
    found = os.getloadavg()[0]
    if found > 0.5:
        print(f"The machine is busy (load {found:.1f}): times come out longer, ratios less sure.")
    return found


def chosen(options: argparse.Namespace) -> dict:
    """The options that decide what is measured, for the provenance."""
    return {k: v for k, v in vars(options).items() if k not in ("out", "show", "child")}


def write(found: Sequence[Record], origin: dict, target: Path) -> pd.DataFrame:
    """Write records and their provenance; returns the records, read back."""
    records.write_to(target, records.as_table(found), origin)
    return show(target)


def show(source: Path) -> pd.DataFrame:
    """The records that were written before."""
    if not source.is_file():
        raise QlabError(f"There are no results at {source}; run without --show to measure them.")
    return records.read_file(source)


def main(
    options: argparse.Namespace,
    measured: Callable[[argparse.Namespace], pd.DataFrame],
    report: Callable[[pd.DataFrame], str],
) -> int:
    """Measure or show, and print the report; returns the exit status."""
    try:
        print(report(show(options.out) if options.show else measured(options)))
    except QlabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
