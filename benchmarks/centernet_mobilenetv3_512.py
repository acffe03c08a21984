"""Bytes, AP and latency of a trained CenterNet in eight bits: LiteRT beside ONNX Runtime.

    python benchmarks/centernet_mobilenetv3_512.py [--quick] [--no-peers] [--show] [--help]

The graph and its images are those of notebook 01 at profile `small`. Both engines quantize it as
their manuals recommend, with the same images; all variants take turns in five fresh processes.
README.md beside this file says what is measured and how to read it.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bench
import centernet_r50v2_512 as full_size
import numpy as np
import pandas as pd
from bench.centernet_graphs import tflite
from peers import onnx_peer

from qlab.core import progress, provenance, stats, timing
from qlab.core.cache import file_sha256
from qlab.core.records import Record, interval, pick
from qlab.detector import data, detect
from qlab.detector.average_precision import difference, judged
from qlab.images.photos import read_image

NAME = "centernet_mobilenetv3_512"
RECORD = bench.recorder(NAME)
SUBJECT = bench.Subject(NAME, "coco_val2017")
PARENT = full_size.PARENT
VARIANTS = (PARENT, "int8_dynamic", "int8_selective")  # of LiteRT
LEFT_FLOAT = "squeeze_excite"  # besides decoding, in int8_selective: AP is 0 with it in eight bits
COUNTERPARTS = {v: f"onnx_{v}" for v in VARIANTS}
THREADS, PROCESSES, ROUNDS = 2, 5, 10
CALIBRATION_IMAGES, DRAWS, SEED = 32, 500, 0


# ---- measuring ----


def accuracy_records(task: data.Task, found: Mapping[str, list[dict]]) -> list[Record]:
    """AP of each variant's detections, and its paired difference to fp32, over the images."""
    ids = sorted(task.images)
    scores = {v: judged(task.coco, d, ids, DRAWS, SEED, overall=True) for v, d in found.items()}
    parent, records = scores[PARENT], []
    for variant, one in scores.items():
        made = {"ap": one.figures["ap"]}
        if variant != PARENT:
            made["ap_difference"] = difference(one, parent, "ap")
        records += [_estimated(variant, m, e, seed=SEED) for m, e in made.items()]
    return records


def time_records(runs: Sequence[Mapping[str, Sequence[float]]]) -> list[Record]:
    """Latency from the seconds [rounds] by variant that each process measured.

    A process's figure is the median over its rounds, of times or of ratios within a round; a
    record's value and interval are those of `stats.geometric_mean` over the processes.
    """

    def over(figure) -> stats.Estimate:
        return stats.geometric_mean([np.median(figure(run)) for run in runs])

    runs = [{v: np.array(s) for v, s in run.items()} for run in runs]
    records, used = [], provenance.device(bench.threads(THREADS))
    for variant in runs[0]:
        made = {"latency_ms_p50": over(lambda run, v=variant: 1e3 * run[v])}
        others = {
            "latency_ratio_p50": PARENT,
            "latency_ratio_to_onnx_p50": COUNTERPARTS.get(variant),
        }
        for metric, other in others.items():
            if other != variant and other in runs[0]:
                made[metric] = over(lambda run, v=variant, o=other: run[v] / run[o])
        records += [_estimated(variant, m, e, device=used) for m, e in made.items()]
    return records


def _about(variant: str) -> dict:
    return {"bits": 32 if variant.endswith(PARENT) else 8}


def _estimated(variant: str, metric: str, e: stats.Estimate, **more) -> Record:
    return RECORD.estimated(SUBJECT, variant, metric, e, **_about(variant), **more)


def _counted(variant: str, metric: str, value: float) -> Record:
    return RECORD.counted(SUBJECT, variant, metric, value, **_about(variant))


def child(told: str) -> dict[str, list[float]]:
    """Seconds by variant in this process; all variants of both engines take turns."""
    files, python, models, picture, repeats, seed = json.loads(told)
    detector = detect.Detector(Path(files[PARENT]), THREADS)
    image = detect.resized(read_image(Path(picture)), detector.size)
    about = ({v: Path(f) for v, f in files.items()}, image, THREADS, "xnnpack", repeats, 2)
    if not models:
        seconds = full_size.measure(*about, seed=seed)
    else:
        with onnx_peer.Server(Path(python), models, image, THREADS) as server:
            seconds = full_size.measure(*about, server, seed)
    return {v: values.tolist() for v, values in seconds.items()}


def latencies(
    files: Mapping[str, Path], python: Path | None, models: Mapping[str, Path], picture: Path,
    processes: int, rounds: int,
) -> list[Any]:  # fmt: skip
    """What `child` measures in each of several fresh processes, one after the other."""
    paths = [{v: str(f) for v, f in some.items()} for some in (files, models)]
    about = [paths[0], str(python), paths[1], str(picture), rounds]
    calls = [json.dumps([*about, seed]) for seed in range(processes)]
    this = str(Path(__file__).resolve())
    each = progress.bar("processes")
    return [json.loads(timing.fresh([this, "--child", call])) for call in each(calls)]


def run(options: argparse.Namespace) -> tuple[list[Record], dict[str, Path]]:
    """Build every file and measure it; returns the records, and the files by variant."""
    task = data.prepare(data.Parameters(profile="small", limit=8 if options.quick else 0))
    photos = {i: read_image(p) for i, p in task.images.items()}
    pixels = [detect.resized(photo, task.size) for photo in photos.values()]
    calibration = task.calibration[:CALIBRATION_IMAGES]
    files = tflite(task.folder, VARIANTS, calibration, LEFT_FLOAT)
    answers = detect.detect_each(list(files.values()), task.images, THREADS)
    found, python, models, records = dict(zip(files, answers, strict=True)), None, {}, []
    if not options.no_peers:
        python = onnx_peer.environment()
        given = np.stack(calibration)[:, None]
        models = onnx_peer.files(python, files[PARENT], given, LEFT_FLOAT)
        model = models["onnx_fp32"]
        apart = onnx_peer.differences(python, model, files[PARENT], pixels[0])
        records += [_counted("onnx_fp32", f"max_difference_{k}", v) for k, v in apart.items()]
    for variant, model in models.items():
        theirs = onnx_peer.detections(python, model, files[PARENT], pixels)
        found[variant] = []
        for one, (i, photo) in zip(theirs, photos.items(), strict=True):
            found[variant] += detect.coco_results(one, i, *photo.shape[1::-1])
    every = {**files, **models}
    records += [_counted(v, "size_bytes", f.stat().st_size) for v, f in every.items()]
    records += accuracy_records(task, found)
    usual = (1, 3) if options.quick else (PROCESSES, ROUNDS)
    picture = next(iter(task.images.values()))
    return records + time_records(latencies(files, python, models, picture, *usual)), every


# ---- reading the records ----


def report(table: pd.DataFrame) -> str:
    """A row per variant, with 95 % intervals in brackets."""
    columns = {
        "MB": ("size_bytes", ".2f", 1e-6),
        "AP": ("ap", ".3f", 1),
        "AP - fp32": ("ap_difference", "+.3f", 1),
        "ms": ("latency_ms_p50", ".1f", 1),
        "/fp32": ("latency_ratio_p50", ".2f", 1),
        "/onnx": ("latency_ratio_to_onnx_p50", ".2f", 1),
    }
    shown = {}
    for title, (metric, form, scale) in columns.items():
        rows = pick(table, metric).set_index("variant")
        shown[title] = {v: interval(row, form, scale) for v, row in rows.iterrows()}
    [device], ap = set(pick(table, "latency_ms_p50")["device"]), pick(table, "ap")
    where = f"{device}; {ap['n'].max()} images of {SUBJECT.dataset}"
    return f"{where}\n{pd.DataFrame(shown).fillna('-').to_string()}"


# ---- the command ----


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; if anything is wrong with it, the program ends with a sentence."""
    parser = bench.parser(__doc__, "8 images, 3 rounds in one process")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return bench.parse(parser, NAME, arguments)


def benchmark(options: argparse.Namespace) -> pd.DataFrame:
    """Measure and write the records; returns them."""
    started, load = time.time(), bench.load()
    found, files = run(options)
    inputs = {v: file_sha256(f) for v, f in files.items()}
    origin = provenance.collect(bench.chosen(options), inputs, full_size.PACKAGES, started)
    origin["load_average_before"] = load
    if not options.no_peers:
        origin["peers"] = onnx_peer.pins()
    return bench.write(found, origin, options.out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parse(arguments)
    if not options.child:
        return bench.main(options, benchmark, report)
    print(json.dumps(child(options.child)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
