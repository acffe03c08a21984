"""Bytes and latency of CenterNet ResNet50-v2 512, the first source's graph, at full size.

    python benchmarks/centernet_r50v2_512.py [--quick] [--no-peers] [--show] [--help]

The weights are random: a dense kernel's time does not depend on them. Every TFLite variant runs
with both of LiteRT's sets of kernels at each thread count, beside ONNX Runtime on the same graph;
all take turns in shuffled rounds, so that a ratio's times come from the same moments of the
machine. README.md beside this file says what is measured and how to read it.
"""

import argparse
import contextlib
import functools
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import bench
import numpy as np
import pandas as pd
import psutil
from bench.centernet_graphs import SEED, SELECTIVE_SUBPIXEL, SLOW, SUBPIXEL, images, tflite_files
from peers import onnx_peer

from qlab.core import progress, provenance, stats, timing
from qlab.core.cache import file_sha256
from qlab.core.records import Record, pick
from qlab.detector import detect

NAME = "centernet_r50v2_512"
RECORD = bench.recorder(NAME)
SUBJECT = bench.Subject("centernet_r50v2_512_random", "mini_coco")
CALIBRATION_IMAGES = 8
PARENT = "fp32"
BITS = {PARENT: 32, "onnx_fp32": 32, "fp16": 16}  # of the weights; all other variants have 8
KERNELS = ("xnnpack", "builtin")  # LiteRT's default, and the older set that it falls back to
COUNTERPARTS = {
    "fp32": "onnx_fp32",
    "int8_dynamic": "onnx_int8_dynamic",
    SUBPIXEL: "onnx_int8_dynamic",
    "int8_selective": "onnx_int8_selective",
    SELECTIVE_SUBPIXEL: "onnx_int8_selective",
}
PACKAGES = ["tensorflow", "tf-keras", "ai-edge-litert", "ai-edge-quantizer", "numpy", "pillow"]


class Repeats(NamedTuple):
    """Timed rounds with each set of kernels, and for int16x8; warm-up runs are extra."""

    xnnpack: int
    builtin: int
    slow: int


@dataclass(frozen=True)
class Target:
    """At least one of `variants` must take no more than `at_most` of fp32's time."""

    text: str
    variants: tuple[str, ...]
    at_most: float


STATIC = ("int8_static", "int8_selective", SELECTIVE_SUBPIXEL)
CURED = (SUBPIXEL, "int8_dynamic_deconv_fp32")
TARGETS = (
    Target("static or selective int8 at least 5 x faster than fp32", STATIC, 1 / 5),
    Target("cured dynamic int8 no slower than fp32", CURED, 1.0),
)


# ---- measuring ----


def _about(variant: str) -> dict:
    """What all records of a variant have in common."""
    return {"bits": BITS.get(variant, 8), "seed": SEED}


def _exact(variant: str, metric: str, value: float) -> Record:
    return RECORD.counted(SUBJECT, variant, metric, value, **_about(variant))


def size_records(files: Mapping[str, Path]) -> list[Record]:
    """Bytes of each file, .tflite or .onnx."""
    return [_exact(v, "size_bytes", f.stat().st_size) for v, f in files.items()]


def time_records(
    seconds: Mapping[str, np.ndarray], threads: int, kernels: str, parent_too: bool = True
) -> list[Record]:
    """Milliseconds per image, and ratios to fp32 and to ONNX Runtime, of one block of rounds.

    `seconds` maps variants to [rounds]. A ratio is the median over rounds of the ratio within
    the round; intervals are those of `stats.median`.
    """
    used = bench.threads(threads)
    where = {"condition": used, "device": provenance.device(used)}
    return [
        RECORD.estimated(SUBJECT, variant, metric, e, **_about(variant), **where)
        for variant in seconds
        if parent_too or variant != PARENT
        for metric, e in _estimates(seconds, variant, kernels).items()
    ]


def _estimates(
    seconds: Mapping[str, np.ndarray], variant: str, kernels: str
) -> dict[str, stats.Estimate]:
    """A variant's metrics by name."""
    values, other = seconds[variant], COUNTERPARTS.get(variant)
    found = {
        metric_name(kernels, "ms"): stats.median(1e3 * values),
        metric_name(kernels, "ms", "p90"): stats.median(1e3 * values, 0.9),
    }
    if variant != PARENT:
        found[metric_name(kernels, "ratio")] = stats.median(values / seconds[PARENT])
    if other in seconds:
        ratio = stats.median(values / seconds[other])
        found[metric_name(kernels, "ratio_to_onnx")] = ratio
    return found


def measure(
    files: Mapping[str, Path],
    image: np.ndarray,
    threads: int,
    kernels: str,
    repeats: int,
    warmup: int,
    peer: onnx_peer.Server | None = None,
    seed: int = SEED,
) -> dict[str, np.ndarray]:
    """Seconds per run of each graph on `image`, [repeats]; all take turns.

    The clock covers only the graph, box decoding included, not reading or resizing the image.
    """
    ready = {v: detect.Detector(f, threads, kernels == "xnnpack") for v, f in files.items()}
    for detector in ready.values():
        detector.set_image(image)
    calls = {v: d.invoke for v, d in ready.items()}
    theirs = list(peer.seconds) if peer else []
    calls |= {v: functools.partial(peer.run, v) for v in theirs}
    bar = progress.bar(f"{kernels}, {bench.threads(threads)}")
    seconds = timing.interleaved(calls, repeats, warmup, bar, seed)
    return seconds | {v: np.array(peer.seconds[v][-repeats:]) for v in theirs}


def latency_records(
    files: Mapping[str, Path],
    peers: tuple[Path, dict[str, Path]] | None,
    image: np.ndarray,
    threads: int,
    repeats: Repeats,
) -> list[Record]:
    """Latency of every file at one thread count; `peers` is ONNX Runtime's Python and files."""
    usual = {v: f for v, f in files.items() if v != SLOW}
    found = []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(onnx_peer.Server(*peers, image, threads)) if peers else None
        seconds = measure(usual, image, threads, "xnnpack", repeats.xnnpack, 2, server)
        found += time_records(seconds, threads, "xnnpack")
    seconds = measure(usual, image, threads, "builtin", repeats.builtin, 1)
    found += time_records(seconds, threads, "builtin")
    if SLOW in files:
        pair = {v: files[v] for v in (PARENT, SLOW)}
        seconds = measure(pair, image, threads, "xnnpack", repeats.slow, 0)
        found += time_records(seconds, threads, "xnnpack", parent_too=False)
    return found


# ---- reading the records ----


def metric_name(kernels: str, what: str, quantile: str = "p50") -> str:
    """The records' name for a time with one set of kernels; LiteRT's default is left out."""
    return f"latency{'' if kernels == 'xnnpack' else f'_{kernels}'}_{what}_{quantile}"


def ratio_table(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """One thread count's records as a table to read: a row per variant, fp32 first, ONNX last.

    `ms` is the median, `/fp32` the variant's time over fp32's, `/onnx` over ONNX Runtime's for the
    same kind of quantization. What was not measured is NaN.
    """
    size = pick(table, "size_bytes").set_index("variant")["value"]
    columns = {"MB": size / 1e6}
    for kernels in KERNELS:
        for title, what in (("ms", "ms"), ("/fp32", "ratio"), ("/onnx", "ratio_to_onnx")):
            rows = pick(table, metric_name(kernels, what), condition=name)
            if len(rows):
                columns[f"{kernels} {title}"] = rows.set_index("variant")["value"]
    shown = pd.DataFrame(columns)
    return shown.sort_index(
        key=lambda names: [(n != PARENT, n in onnx_peer.VARIANTS, n) for n in names]
    )


def verdicts(table: pd.DataFrame) -> list[str]:
    """A sentence for each target, kernels and thread count: met or not, and by which variant."""
    said = []
    for target in TARGETS:
        for kernels in KERNELS:
            rows = pick(table, metric_name(kernels, "ratio"), variant=list(target.variants))
            for name, here in rows.groupby("condition"):
                best = here.loc[here["value"].idxmin()]
                said.append(f"{target.text}; {name}, {kernels}: {_verdict(best, target.at_most)}")
    return said


def _verdict(row: pd.Series, at_most: float) -> str:
    """Met or not, as a speed-up over fp32, with an interval if there are enough rounds."""
    met = "met" if row["value"] <= at_most else "NOT met"
    said = f"{met}, {row['variant']} is {1 / row['value']:.2f} x"
    if np.isnan(row["ci_low"]):
        return f"{said} ({row['n']} rounds, too few for an interval)."
    low, high = 1 / row["ci_high"], 1 / row["ci_low"]
    unsure = ", the interval allows either" if row["ci_low"] <= at_most < row["ci_high"] else ""
    return f"{said} ({low:.2f} to {high:.2f}){unsure}."


def report(table: pd.DataFrame) -> str:
    """All that the records hold, to be read: tables, single figures, verdicts."""
    lines, counted = [], pick(table, sorted(set(table["metric"]) - {"size_bytes"}), clock=False)
    for name, here in table.groupby("condition"):
        lines += [
            here["device"].iloc[0],
            ratio_table(table, name).to_string(float_format="%.3g", na_rep="-"),
            "",
        ]
    lines += [f"{r.variant}: {r.metric} {r.value:.3g}" for r in counted.itertuples()]
    return "\n".join([*lines, "", *verdicts(table)])


# ---- the command ----


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; if anything is wrong with it, the program ends with a sentence."""
    cores = psutil.cpu_count() or 1
    usual = [n for n in (1, 2) if n <= cores]
    parser = bench.parser(__doc__, "3 rounds, 1 with the built-in kernels")
    add, whole = parser.add_argument, bench.whole
    add("--threads", type=whole, nargs="+", default=usual, help="thread counts (default: 1 2)")
    add("--repeats", type=whole, default=15, help="timed rounds (15; built-in kernels 3 at most)")
    add("--int16x8", action="store_true", help="int16x8 too: some minutes more")
    options = bench.parse(parser, NAME, arguments)
    if too_many := [n for n in options.threads if n > cores]:
        parser.error(f"This machine has {cores} cores; --threads {too_many[0]} would time waiting.")
    if len(set(options.threads)) < len(options.threads):
        parser.error("--threads names the same count twice; each is measured once.")
    return options


def peer_files(
    fp32: Path, calibration: Sequence[np.ndarray], image: np.ndarray
) -> tuple[Path, dict[str, Path], list[Record]]:
    """ONNX Runtime's Python and files, and records of how far its outputs are from LiteRT's."""
    python = onnx_peer.environment()
    models = onnx_peer.files(python, fp32, np.stack(calibration)[:, None])
    apart = onnx_peer.differences(python, models["onnx_fp32"], fp32, image)
    found = [_exact("onnx_fp32", f"max_difference_{k}", v) for k, v in apart.items()]
    return python, models, found


def run(options: argparse.Namespace) -> tuple[list[Record], dict[str, Path]]:
    """Build every file and measure it; returns the records, and the files by variant."""
    calibration = images("calibration", CALIBRATION_IMAGES)
    [image] = images("val", 1)
    files, peers = tflite_files(calibration, options.int16x8), None
    found = size_records(files)
    every = dict(files)
    if not options.no_peers:
        python, models, more = peer_files(files[PARENT], calibration, image)
        peers = python, models
        found += more + size_records(models)
        every |= models
    usual = Repeats(options.repeats, min(options.repeats, 3), 2)
    repeats = Repeats(3, 1, 1) if options.quick else usual
    for threads in options.threads:
        found += latency_records(files, peers, image, threads, repeats)
    return found, every


def benchmark(options: argparse.Namespace) -> pd.DataFrame:
    """Measure and write the records; returns them."""
    started, load = time.time(), bench.load()
    found, files = run(options)
    inputs = {v: file_sha256(f) for v, f in files.items()}
    origin = provenance.collect(bench.chosen(options), inputs, PACKAGES, started)
    origin["load_average_before"] = load
    if not options.no_peers:
        origin["peers"] = onnx_peer.pins()
    return bench.write(found, origin, options.out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return bench.main(parse(arguments), benchmark, report)


if __name__ == "__main__":
    sys.exit(main())
