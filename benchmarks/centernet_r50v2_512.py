"""Bytes and latency of CenterNet ResNet50-v2 512, the first source's graph, at full size.

    python benchmarks/centernet_r50v2_512.py [--quick] [--no-peers] [--show] [--help]

The weights are random: a dense kernel's time does not depend on them. Every TFLite variant runs
with both of LiteRT's sets of kernels at each thread count, beside ONNX Runtime on the same graph;
all take turns, in shuffled rounds, so that ratios come from the same moments of the machine.
README.md beside this file says what is measured and how to read it.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil
from peers import onnx_peer

from qlab.core import paths, progress, provenance, stats, tflite_graph, timing
from qlab.core import records as qlab_records
from qlab.core.cache import artefact, file_sha256, versions, written_whole
from qlab.core.errors import QlabError
from qlab.core.records import Record
from qlab.detector import detect, mini_coco

EXPERIMENT = "bench_centernet_r50v2_512"
MODEL = "centernet_r50v2_512_random"
DATASET = "mini_coco"
RESULT = Path(__file__).resolve().parent / "results" / "centernet_r50v2_512.csv"
SEED = 0
DAMPING = 0.1
CALIBRATION_IMAGES = 8
PARENT = "fp32"
SUBPIXEL = "int8_dynamic_subpixel"  # the cure: int8_dynamic of the twin without deconvolutions
SELECTIVE_SUBPIXEL = "int8_selective_subpixel"  # and int8_selective of the same twin
SLOW = "int16x8"  # LiteRT has only reference kernels for it: 25 s an image
KERNELS = ("xnnpack", "builtin")  # LiteRT's default, and what it had before and falls back to
COUNTERPARTS = {
    "fp32": "onnx_fp32",
    "int8_dynamic": "onnx_int8_dynamic",
    SUBPIXEL: "onnx_int8_dynamic",
    "int8_selective": "onnx_int8_selective",
    SELECTIVE_SUBPIXEL: "onnx_int8_selective",
}
PACKAGES = ["tensorflow", "tf-keras", "ai-edge-litert", "ai-edge-quantizer", "numpy", "pillow"]


class Repeats(NamedTuple):
    """Timed rounds with each set of kernels, and of int16x8; warm-up comes on top."""

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


# ---- the graphs ----


def images(split: str, count: int) -> list[np.ndarray]:
    """Scenes of mini_coco as uint8 [512, 512, 3]."""
    return [detect.resized(scene.pixels, 512) for scene in mini_coco.scenes(split, count)]


def settle(model, batch: np.ndarray) -> None:
    """Give a random network the statistics a trained one has, from one pass over `batch`.

    Batch normalization's moving averages become the batch's; without them activations mean
    nothing. The last scale of each residual branch becomes DAMPING (Goyal et al., arXiv
    1706.02677, section 5.1, start training from 0): at full strength a deep random network
    amplifies rounding until less signal than noise arrives, and int8_selective, which keeps such
    operators float, would be no int8 network at all.
    """
    norms = [x for x in model.layers if type(x).__name__ == "BatchNormalization"]
    for norm in norms:
        if norm.name.endswith("mid2_bn"):
            norm.gamma.assign(norm.gamma * DAMPING)
        norm.momentum = 0.0
    model(batch, training=True)


def saved_models(calibration: Sequence[np.ndarray]) -> Path:
    """Folder with the SavedModels `transposed` and `subpixel`: the same function, two necks."""
    from qlab.detector import centernet

    recipe = {
        "architecture": dataclasses.asdict(centernet.RESNET50V2_512),
        "code": file_sha256(Path(centernet.__file__)),
        "seed": SEED,
        "damping": DAMPING,
        "statistics": f"mini_coco calibration, first {len(calibration)}",
        "versions": versions("tensorflow", "tf-keras", "numpy"),
    }

    def make(folder: Path) -> None:
        centernet.keras.utils.set_random_seed(SEED)
        model = centernet.build(centernet.RESNET50V2_512)
        settle(model, np.stack(calibration).astype(np.float32))
        centernet.export(model, folder / "transposed")
        twin = centernet.to_subpixel(model, centernet.RESNET50V2_512)
        centernet.export(twin, folder / "subpixel")

    return artefact("benchmark_model", recipe, make)


def tflite_files(calibration: Sequence[np.ndarray], slow: bool) -> dict[str, Path]:
    """The .tflite of each variant; int16x8 only if `slow`."""
    from qlab.detector import quantize

    folder = saved_models(calibration)
    samples = quantize.calibration_samples(calibration)
    variants = [v for v in quantize.VARIANTS if slow or v != SLOW]
    files = {
        v: quantize.build_variant(folder / "transposed", v, 512, samples)
        for v in progress.bar("converting")(variants)
    }
    for v in (SUBPIXEL, SELECTIVE_SUBPIXEL):
        usual = v.removesuffix("_subpixel")
        files[v] = quantize.build_variant(folder / "subpixel", usual, 512, samples)
    return files


# ---- measuring ----


def _exact(variant: str, metric: str, value: float, unit: str) -> Record:
    return Record(EXPERIMENT, MODEL, DATASET, variant, metric, float(value), unit, seed=SEED)


def size_records(files: Mapping[str, Path]) -> list[Record]:
    """Bytes of each file, .tflite or .onnx."""
    return [_exact(v, "size_bytes", f.stat().st_size, "byte") for v, f in files.items()]


def float_records(files: Mapping[str, Path], variant: str = "int8_selective") -> list[Record]:
    """How many operators a variant keeps float, in the network and in the box decoding."""
    recipe = json.loads((files[variant].parent / "recipe.json").read_text())
    decoding = set(tflite_graph.decoding(files[PARENT]))
    network = [name for name in recipe["operators_left_float"] if name not in decoding]
    return [
        _exact(variant, "float_operators_network", len(network), "operator"),
        _exact(variant, "float_operators_decoding", len(decoding), "operator"),
    ]


def device(threads: int) -> str:
    """A thread count as the records name it."""
    return f"cpu_{threads}_thread{'s' if threads > 1 else ''}"


def time_records(
    seconds: Mapping[str, np.ndarray], threads: int, kernels: str, parent_too: bool = True
) -> list[Record]:
    """Milliseconds per image, and ratios to fp32 and to ONNX Runtime, of one block of rounds.

    `seconds` maps variants to [rounds]. A ratio is the median over rounds of the ratio within
    the round; intervals are those of `statistics.median`.
    """
    found = []
    for variant in seconds if parent_too else set(seconds) - {PARENT}:
        for metric, e in _estimates(seconds, variant, kernels).items():
            unit = "ms" if "_ms_" in metric else "1"
            value = (variant, metric, e.value, unit, e.low, e.high, e.n, SEED, device(threads))
            found.append(Record(EXPERIMENT, MODEL, DATASET, *value))
    return found


def _estimates(
    seconds: Mapping[str, np.ndarray], variant: str, kernels: str
) -> dict[str, stats.Estimate]:
    """A variant's metrics by name."""
    values, other = seconds[variant], COUNTERPARTS.get(variant)
    p50 = metric_name(kernels, "ms")
    found = {
        p50: stats.median(1e3 * values),
        p50.replace("p50", "p90"): stats.median(1e3 * values, 0.9),
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
) -> dict[str, np.ndarray]:
    """Seconds of one run of each graph on `image`, [repeats], all taking turns.

    The clock covers the graph alone, box decoding included; not reading or resizing the image.
    """
    ready = {v: detect.Detector(f, threads, kernels == "xnnpack") for v, f in files.items()}
    for detector in ready.values():
        detector.set_image(image)
    calls = {v: d.invoke for v, d in ready.items()}
    theirs = list(peer.seconds) if peer else []
    calls |= {v: functools.partial(peer.run, v) for v in theirs}
    bar = progress.bar(f"{kernels}, {device(threads)}")
    seconds = timing.interleaved(calls, repeats, warmup, bar)
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


def metric_name(kernels: str, what: str) -> str:
    """The records' name of a p50 with one set of kernels; LiteRT's default is not spelt out."""
    return f"latency{'' if kernels == 'xnnpack' else f'_{kernels}'}_{what}_p50"


def ratio_table(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """One device's records as a table to read: a row per variant, fp32 first, ONNX last.

    `ms` is the median, `/fp32` the variant's time over fp32's, `/onnx` over ONNX Runtime's for
    the same kind of quantization. What was not measured is NaN.
    """
    size = table[table["metric"] == "size_bytes"].set_index("variant")["value"]
    columns = {"MB": size / 1e6}
    here = table[table["device"] == name]
    for kernels in KERNELS:
        for title, what in (("ms", "ms"), ("/fp32", "ratio"), ("/onnx", "ratio_to_onnx")):
            rows = here[here["metric"] == metric_name(kernels, what)]
            if len(rows):
                columns[f"{kernels} {title}"] = rows.set_index("variant")["value"]
    shown = pd.DataFrame(columns)
    return shown.sort_index(key=lambda names: [(n != PARENT, "onnx" in n, n) for n in names])


def verdicts(table: pd.DataFrame) -> list[str]:
    """A sentence for each target, kernels and thread count: met or not, by which variant."""
    said = []
    for target in TARGETS:
        for kernels in KERNELS:
            rows = table[table["metric"] == metric_name(kernels, "ratio")]
            for name, here in rows[rows["variant"].isin(target.variants)].groupby("device"):
                best = here.loc[here["value"].idxmin()]
                said.append(f"{target.text}; {name}, {kernels}: {_verdict(best, target.at_most)}")
    return said


def _verdict(row: pd.Series, at_most: float) -> str:
    """Met or not, as a speed-up over fp32 with its interval where there are rounds enough."""
    met = "met" if row["value"] <= at_most else "NOT met"
    said = f"{met}, {row['variant']} is {1 / row['value']:.2f} x"
    if np.isnan(row["ci_low"]):
        return f"{said} ({row['n']} rounds, too few for an interval)."
    low, high = 1 / row["ci_high"], 1 / row["ci_low"]
    unsure = ", the interval allows either" if row["ci_low"] <= at_most < row["ci_high"] else ""
    return f"{said} ({low:.2f} to {high:.2f}){unsure}."


def report(table: pd.DataFrame) -> str:
    """Everything the records hold, to read: tables, single figures, verdicts."""
    lines = []
    for name in sorted(set(table["device"]) - {"cpu"}):
        lines += [name, ratio_table(table, name).to_string(float_format="%.3g", na_rep="-"), ""]
    single = table[(table["device"] == "cpu") & (table["metric"] != "size_bytes")]
    lines += [f"{r.variant}: {r.metric} {r.value:.3g}" for r in single.itertuples()]
    return "\n".join([*lines, "", *verdicts(table)])


# ---- the command ----


def whole(text: str) -> int:
    """A command line's whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"Expected a whole number of 1 or more; got '{text}'.")
    return int(text)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; whatever is wrong with it ends the program with a sentence."""
    cores = psutil.cpu_count() or 1
    usual = [n for n in (1, 2) if n <= cores]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add, switch = parser.add_argument, functools.partial(parser.add_argument, action="store_true")
    add("--threads", type=whole, nargs="+", default=usual, help="thread counts (default: 1 2)")
    add("--repeats", type=whole, default=15, help="timed rounds (15; built-in kernels 3 at most)")
    add("--out", type=Path, help="csv to write (default: the committed one; under build/ if quick)")
    switch("--quick", help="3 rounds, 1 with the built-in kernels")
    switch("--no-peers", help="without ONNX Runtime")
    switch("--int16x8", help="int16x8 too: some minutes more")
    switch("--show", help="print the csv that is there; measure nothing")
    options = parser.parse_args(arguments)
    if too_many := [n for n in options.threads if n > cores]:
        parser.error(f"This machine has {cores} cores; --threads {too_many[0]} would time waiting.")
    if len(set(options.threads)) < len(options.threads):
        parser.error("--threads names the same count twice; each is measured once.")
    if options.out and options.out.suffix != ".csv":
        parser.error(f"--out must be a .csv file; got '{options.out}'.")
    options.out = options.out or (paths.build() / RESULT.name if options.quick else RESULT)
    return options


def peer_files(
    fp32: Path, calibration: Sequence[np.ndarray], image: np.ndarray
) -> tuple[Path, dict[str, Path], list[Record]]:
    """ONNX Runtime's Python and files, and records of how far its outputs are from LiteRT's."""
    python = onnx_peer.environment()
    models = onnx_peer.files(python, fp32, np.stack(calibration)[:, None])
    apart = onnx_peer.differences(python, models["onnx_fp32"], fp32, image)
    found = [_exact("onnx_fp32", f"max_difference_{k}", v, "1") for k, v in apart.items()]
    return python, models, found


def run(options: argparse.Namespace) -> tuple[list[Record], dict[str, Path]]:
    """Build every file and measure it: the records, and the files by variant."""
    calibration = images("calibration", CALIBRATION_IMAGES)
    [image] = images("val", 1)
    files, peers = tflite_files(calibration, options.int16x8), None
    found = size_records(files) + float_records(files)
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


def write(found: list[Record], origin: dict, target: Path) -> pd.DataFrame:
    """Check records and put them, and their provenance beside them, in place; returns them."""
    table = qlab_records.check(qlab_records.as_table(found), f"records of {EXPERIMENT}")
    table = table.sort_values(["device", "variant", "metric"])
    with written_whole(target) as part:
        table.to_csv(part, index=False, float_format="%.10g")
    with written_whole(target.with_suffix(".provenance.json")) as part:
        part.write_text(json.dumps(origin, indent=2, sort_keys=True) + "\n")
    return table


def show(source: Path) -> pd.DataFrame:
    """The records written before."""
    if not source.is_file():
        raise QlabError(f"There are no results at {source}; run without --show to measure them.")
    return qlab_records.check(pd.read_csv(source), str(source))


def benchmark(options: argparse.Namespace) -> pd.DataFrame:
    """Measure, write, return the records."""
    started, load = time.time(), os.getloadavg()[0]
    if load > 0.5:
        print(f"The machine is busy (load {load:.1f}): times come out longer, ratios less sure.")
    found, files = run(options)
    chosen = {k: v for k, v in vars(options).items() if k not in ("out", "show")}
    inputs = {v: file_sha256(f) for v, f in files.items()}
    origin = provenance.collect(chosen, inputs, PACKAGES, started)
    origin["load_average_before"] = load
    if not options.no_peers:
        origin["peers"] = onnx_peer.pins()
    return write(found, origin, options.out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parse(arguments)
    try:
        table = show(options.out) if options.show else benchmark(options)
    except QlabError as error:
        print(error, file=sys.stderr)
        return 1
    print(report(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
