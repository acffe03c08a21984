"""qlab's evaluation on LAMBADA beside lm-evaluation-harness: same numbers, how fast, how big?

    python benchmarks/lambada_lm_eval.py [--quick] [--case CASE ...] [--show] [--help]

Each evaluation is a separate process, timed from start to end, imports and loading included; the
two sides take turns. README.md beside this file says what is measured and how to read it.
"""

import argparse
import functools
import json
import os
import random
import shutil
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
import psutil
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from qlab.core import paths, progress, provenance, stats
from qlab.core.cache import artefact, file_sha256, versions
from qlab.core.errors import QlabError
from qlab.core.records import Record, as_table, pick, provenance_path, write_to
from qlab.language import checkpoint

HERE = Path(__file__).resolve().parent / "lm_eval_task"
NAME = "lambada_lm_eval"
RECORD = bench.recorder(NAME)
OURS, THEIRS = "qlab", "lm_eval"
TOLERANCE = 1e-6  # relative; float32 sums in another order differ by about 1e-8
WIDE_PASSAGES, SMOLLM2_PASSAGES = 200, 300
ROUNDS = 6  # of each side: the fewest with an interval
PACKAGES = ["torch", "transformers", "tokenizers", "safetensors", "numpy"]


class Case(NamedTuple):
    """What is evaluated."""

    name: str
    dataset: str
    folder: Path
    file: Path
    passages: int
    logits: int  # bytes of one passage's logits at its longest


class Run(NamedTuple):
    """One process: its seconds from start to end, and the results it wrote."""

    seconds: float
    told: dict


# ---- the two sides ----


def environment() -> Path:
    """The Python of the peers' environment, which is installed first if it is not complete.

    It lies over the running environment, so that both sides use the same torch and transformers.
    """
    folder = paths.build() / "peers" / "lm_eval"
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    wanted = (HERE / "requirements.txt").read_text() + sys.prefix
    if not (stamp.is_file() and stamp.read_text() == wanted):
        print("Making an environment with lm-evaluation-harness; this takes a minute.", flush=True)
        _call("Making the peers' environment", sys.executable, "-m", "venv", "--clear", folder)
        [site] = folder.glob("lib/python*/site-packages")
        mine = [p for p in sys.path if p.endswith("site-packages")]
        (site / "running_environment.pth").write_text("\n".join(mine) + "\n")
        pinned = [f"{p}=={v}" for p, v in versions("torch", "transformers").items()]
        pip = [python, "-m", "pip", "install", "--quiet", "--requirement"]
        _call("Installing lm-evaluation-harness", *pip, HERE / "requirements.txt", *pinned)
        stamp.write_text(wanted)
    return python


def _call(what: str, *command: str | Path, env: dict | None = None) -> None:
    """Run a command; if it fails, raise QlabError with `what` and its last line."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=env)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise QlabError(f"{what} failed (status {done.returncode}: {last}).")


def evaluate(python: Path, side: str, case: Case, threads: int, batch: str = "") -> Run:
    """Run one side; `batch` is lm-evaluation-harness's batch size."""
    script = HERE / f"{side}_side.py"
    env = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "RAYON_NUM_THREADS": str(threads),
        "USE_TF": "0",  # or transformers would import TensorFlow on both sides, needlessly
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(paths.build() / "peers" / "huggingface"),
    }
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "told.json")
        given = [case.folder, case.file, threads, case.passages, target]
        given += [batch] if batch else []
        start = time.perf_counter()
        _call(f"{side} on {case.name}", python, script, *map(str, given), env=env)
        return Run(time.perf_counter() - start, json.loads(target.read_text()))


def check_equal(case: Case, ours: dict, theirs: dict) -> None:
    """QlabError unless both sides give the same results, for the same passages and libraries."""
    for name in ("passages", "versions"):
        if ours[name] != theirs[name]:
            raise QlabError(f"{case.name}: {name} differ, {ours[name]} and {theirs[name]}.")
    for name in ("acc", "perplexity"):
        if not np.isclose(ours[name], theirs[name], rtol=TOLERANCE, atol=0):
            raise QlabError(
                f"{case.name}: {name} is {ours[name]!r} for qlab and {theirs[name]!r} for "
                f"lm-evaluation-harness; more than {TOLERANCE} apart, so no time can be compared."
            )


# ---- the cases ----


def stories(limit: int | None) -> Case | None:
    """A real small Llama on real LAMBADA, from the folder QLAB_DATA; None if they are absent."""
    data = paths.real_data()
    folder, file = (data or Path()) / "llm/stories260K-pad192", "lambada/lambada_test.jsonl"
    if data is None or not (folder / "config.json").is_file() or not (data / file).is_file():
        print("stories is left out: QLAB_DATA names no folder with llm/stories260K-pad192 and "
              "lambada/lambada_test.jsonl.")  # fmt: skip
        return None
    count = min(limit or 5153, 5153)
    return Case("stories", "lambada_openai", folder, data / file, count, 512 * 512 * 4)


def wide(limit: int | None) -> Case:
    """Two random layers as wide as Llama-3.2-3B's, with its vocabulary; made if missing."""
    sys.path.insert(0, str(HERE))
    import wide_llama

    recipe = {
        "code": file_sha256(HERE / "wide_llama.py"),
        "passages": WIDE_PASSAGES,
        "versions": versions("torch", "transformers", "tokenizers"),
    }
    folder = artefact("wide_llama", recipe, lambda f: wide_llama.write(f, WIDE_PASSAGES))
    count = min(limit or WIDE_PASSAGES, WIDE_PASSAGES)
    logits = 260 * wide_llama.VOCABULARY * 4
    return Case("wide", "random_words", folder, folder / "passages.jsonl", count, logits)


def smollm2(limit: int | None, bos: bool = False) -> Case | None:
    """A published model of 135 million parameters, from its GGUF file in QLAB_DATA.

    With `bos`, its tokenizer puts a token before each text, which the file does not ask for.
    """
    data, name = paths.real_data(), "smollm2_bos" if bos else "smollm2"
    gguf, file = "llm/SmolLM2-135M-Instruct.Q4_1.gguf", "lambada/lambada_test.jsonl"
    if data is None or not (data / gguf).is_file() or not (data / file).is_file():
        print(f"{name} is left out: QLAB_DATA names no folder with {gguf} and {file}.")
        return None
    folder = checkpoint.from_gguf(data / gguf)
    if bos:
        recipe = {"code": file_sha256(Path(__file__)), "folder": file_sha256(folder)}
        folder = artefact("bos", recipe, functools.partial(with_bos, folder))
    count = min(limit or SMOLLM2_PASSAGES, 5153)
    # The longest of these passages has fewer than 300 tokens.
    return Case(name, "lambada_openai", folder, data / file, count, 300 * 49_152 * 4)


def with_bos(source: Path, target: Path) -> None:
    """Copy the model of `source`, with its tokenizer changed to begin each text with its BOS."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    words = AutoTokenizer.from_pretrained(source)
    begin = words.bos_token
    words.backend_tokenizer.post_processor = TemplateProcessing(
        f"{begin} $A", special_tokens=[(begin, words.bos_token_id)]
    )
    words.save_pretrained(target)


CASES = {
    "stories": stories,
    "smollm2": smollm2,
    "smollm2_bos": functools.partial(smollm2, bos=True),
    "wide": wide,
}


# ---- measuring ----


def feasible(case: Case, sizes: Sequence[str]) -> list[str]:
    """The batch sizes whose logits fit into the free memory, with their log-probabilities and a
    copy: 64 of `wide` took 22 GB."""
    free = psutil.virtual_memory().available - 4e9
    return [s for s in sizes if 3 * case.logits * (64 if s == "auto" else int(s)) < free]


def best_batch(python: Path, case: Case, threads: int, sizes: Sequence[str]) -> tuple[str, dict]:
    """lm-evaluation-harness's fastest batch size here, from one run each, and all those runs."""
    tried = {s: evaluate(python, THEIRS, case, threads, s) for s in feasible(case, sizes)}
    if not tried:
        raise QlabError(f"{case.name}: no batch size of {', '.join(sizes)} fits the free memory.")
    return min(tried, key=lambda s: tried[s].seconds), tried


def measure(python: Path, case: Case, options: argparse.Namespace) -> list[Record]:
    """Records of one case: both sides run in turn, in an order that is shuffled every round."""
    print(f"{case.name}: {case.passages} passages, {options.threads} threads", flush=True)
    evaluate(Path(sys.executable), OURS, case, options.threads)  # warms the disk cache
    batch, tried = best_batch(python, case, options.threads, options.batch_sizes)
    runs: dict[str, list[Run]] = {OURS: [], THEIRS: []}
    order = random.Random(0)
    for _ in progress.bar(case.name)(range(options.rounds)):
        for side in order.sample([OURS, THEIRS], 2):
            given = (sys.executable, OURS) if side == OURS else (python, THEIRS)
            size = "" if side == OURS else batch
            runs[side].append(evaluate(Path(given[0]), given[1], case, options.threads, size))
        check_equal(case, runs[OURS][-1].told, runs[THEIRS][-1].told)
    return case_records(case, runs, tried, batch, options.threads)


def case_records(
    case: Case, runs: dict[str, list[Run]], tried: dict[str, Run], batch: str, threads: int
) -> list[Record]:
    """Medians of both sides, ratios within rounds, equality, and the batch sizes tried."""
    device, subject = provenance.device(bench.threads(threads)), bench.Subject(*case[:2])
    estimated = functools.partial(RECORD.estimated, subject, device=device)
    counted = functools.partial(RECORD.counted, subject, device=device)
    found = []
    seconds = {s: np.array([r.seconds for r in rs]) for s, rs in runs.items()}
    memory = {s: np.array([r.told["peak_memory_bytes"] for r in rs]) for s, rs in runs.items()}
    for side, rs in runs.items():
        cpu, told = np.array([r.told["cpu_seconds"] for r in rs]), rs[-1].told
        found += [
            estimated(side, "wall_s_p50", stats.median(seconds[side])),
            counted(side, "wall_s_min", seconds[side].min(), len(rs)),
            counted(side, "wall_s_max", seconds[side].max(), len(rs)),
            estimated(side, "cpu_s_p50", stats.median(cpu)),
            estimated(side, "peak_memory_bytes", stats.median(memory[side])),
            *(counted(side, m, told[m], told["passages"]) for m in ("acc", "perplexity")),
        ]
    faster = stats.median(seconds[THEIRS] / seconds[OURS])
    found.append(estimated(OURS, "times_faster", faster))
    found.append(estimated(OURS, "memory_ratio", stats.median(memory[OURS] / memory[THEIRS])))
    found.append(counted(THEIRS, "batch_size", 64 if batch == "auto" else int(batch)))
    for size, run in tried.items():
        name = f"{THEIRS}_batch_{size}"
        found.append(counted(name, "wall_s_once", run.seconds))
        found.append(counted(name, "peak_memory_bytes", run.told["peak_memory_bytes"]))
    return found


# ---- reading the records ----

TARGETS = {
    "stories": (("times_faster", 1.4),),
    "smollm2": (("times_faster", 2.0),),
    "smollm2_bos": (("times_faster", 2.0),),
    "wide": (("times_faster", 3.0), ("memory_ratio", 0.5)),
}


def report(table: pd.DataFrame) -> str:
    """The records as a table, and a sentence for each target."""
    lines = []
    for (model, device), rows in table.groupby(["model", "device"], sort=False):
        shown = rows.pivot_table(index="variant", columns="metric", values="value")
        shown = shown[[m for m in bench.METRICS if m in shown]]
        shown = shown.assign(peak_memory_bytes=shown["peak_memory_bytes"] / 1e9)
        shown = shown.rename(columns={"peak_memory_bytes": "peak_memory_GB"})
        lines += [f"{model}, {device}", shown.to_string(float_format="%.6g", na_rep="-")]
        for metric, target in TARGETS[model]:
            [row] = pick(rows, metric).itertuples()
            met = row.value >= target if metric == "times_faster" else row.value <= target
            spread = "" if np.isnan(row.ci_low) else f" ({row.ci_low:.2f} to {row.ci_high:.2f})"
            word = "at least" if metric == "times_faster" else "at most"
            lines.append(
                f"{metric} {row.value:.2f}{spread}, {row.n} rounds; target {word} {target}: "
                f"{'met' if met else 'NOT met'}."
            )
        lines.append("")
    return "\n".join(lines)


# ---- the command ----


def batch_size(text: str) -> str:
    """Parse a command line's batch size: 'auto' or a whole number."""
    return text if text == "auto" else str(bench.whole(text))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; if anything is wrong with it, the program ends with a sentence."""
    parser = bench.parser(__doc__, "1 round, 100 passages")
    add, whole = parser.add_argument, bench.whole
    add("--case", choices=CASES, nargs="+", default=list(CASES), help="what to evaluate")
    add(
        "--rounds", type=whole, default=ROUNDS, help="of each side (6, the fewest with an interval)"
    )
    add("--threads", type=whole, default=psutil.cpu_count(logical=False) or 1, help="of each side")
    add("--limit", type=whole, help="only so many passages")
    add("--batch-sizes", type=batch_size, nargs="+", default=["auto", "16", "32", "64"],
        help="of lm-evaluation-harness; the fastest is taken")  # fmt: skip
    options = bench.parse(parser, NAME, arguments, partial)
    if options.quick:
        options.rounds, options.limit = 1, options.limit or 100
    return options


def benchmark(options: argparse.Namespace) -> pd.DataFrame:
    """Measure the cases and return all records. Each case is written when it is done; what was
    measured before of other cases stays, and `cases` in the provenance has the run of each."""
    load, python = bench.load(), environment()
    cases = [made for name in options.case if (made := CASES[name](options.limit)) is not None]
    if not cases:
        raise QlabError("Nothing is left to measure; set QLAB_DATA or ask for --case wide.")
    # What a partial run left has other limits and rounds.
    others, told = (as_table([]), {}) if partial(options) else before(options.out)
    for case in cases:
        started = time.time()
        found = as_table(measure(python, case, options))
        inputs = {case.name: file_sha256(case.file)}
        origin = provenance.collect(bench.chosen(options), inputs, PACKAGES, started)
        origin["load_average_before"] = load
        origin["peers"] = (HERE / "requirements.txt").read_text().splitlines()[-1]
        others = pd.concat([others[others["model"] != case.name], found])
        told[case.name] = origin
        write_to(options.out, others, origin | {"cases": told})
    return bench.show(options.out)


def before(target: Path) -> tuple[pd.DataFrame, dict]:
    """The records that `target` has, and the provenance of each case in them."""
    if not target.is_file():
        return as_table([]), {}
    if not (origin := provenance_path(target)).is_file():
        raise QlabError(f"{target} lies here without {origin.name}: git checkout brings both back.")
    table, origin = bench.show(target), json.loads(origin.read_text())
    told = origin.pop("cases", {})
    return table, {name: told.get(name, origin) for name in table["model"].unique()}


def partial(options: argparse.Namespace) -> bool:
    """Whether a run measures less than the committed records."""
    return bool(options.quick or options.limit or options.rounds < ROUNDS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parse(arguments)
    if options.no_peers:
        print("lambada_lm_eval: without lm-evaluation-harness there is nothing to measure.")
        return 0
    return bench.main(options, benchmark, report)


if __name__ == "__main__":
    sys.exit(main())
