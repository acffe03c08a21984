"""Kernels for quantized language models on a CPU: tokens per second, memory, what is answered.

    python benchmarks/language_kernels.py [--only VARIANT ...] [--quick] [--show] [--help]

One set of weights (SmolLM2-135M, from a GGUF file in QLAB_DATA) is run by transformers with
bitsandbytes, auto-gptq and torchao, by llama.cpp and by ONNX Runtime. README.md beside this file
says what is measured and how to read it.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import bench
import numpy as np
import pandas as pd
import psutil

from qlab.core import paths, progress, provenance, stats
from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.errors import QlabError
from qlab.core.records import Record, interval, pick
from qlab.language import checkpoint, lambada, streaming
from qlab.language.gptq import RoundToNearest

HERE = Path(__file__).resolve().parent / "kernels_task"
NAME = "language_kernels"
RECORD = bench.recorder(NAME)
GGUF, PASSAGES = "llm/SmolLM2-135M-Instruct.Q4_1.gguf", "lambada/lambada_test.jsonl"
PARENT = "fp32"
CALIBRATING = 16  # first passages of the file, left for methods that calibrate
PROMPT, WRITTEN = 100, 32  # tokens
PACKAGES = ["torch", "transformers", "auto_gptq", "bitsandbytes", "numpy"]


class Subject(NamedTuple):
    """What is measured, as the records name it."""

    model: str
    dataset: str
    parent: str


class Variant(NamedTuple):
    """Which engine runs which weights, and how."""

    engine: str  # torch, llama or onnx: the side and its environment
    source: str  # `float` or `rtn` folder, kind of GGUF file, or ONNX folder
    bits: int
    dtype: str = "float32"  # of activations and what is not quantized; only for transformers
    how: Mapping = {}  # library that quantizes while loading -> its setting
    group_size: int | None = None
    method: str | None = None


Torch = partial(Variant, "torch", "float")
VARIANTS = {
    PARENT: Torch(32),
    "bf16": Torch(16, "bfloat16"),
    "bnb_int8": Torch(8, how={"bitsandbytes": "int8"}),
    "bnb_nf4": Torch(4, how={"bitsandbytes": "nf4"}, group_size=64),
    "gptq_kernel_w4_g64": Variant("torch", "rtn", 4, group_size=64, method="rtn"),
    "torchao_int8_weight_only": Torch(8, "bfloat16", {"torchao": "int8_weight_only"}),
    "torchao_int8_dynamic": Torch(8, "bfloat16", {"torchao": "int8_dynamic"}),
    "llama_f32": Variant("llama", "ALL_F32", 32),
    "llama_bf16": Variant("llama", "MOSTLY_BF16", 16),
    "llama_q8_0": Variant("llama", "MOSTLY_Q8_0", 8, group_size=32),
    "llama_q4_1": Variant("llama", "MOSTLY_Q4_1", 4, group_size=32),
    "llama_q4_0": Variant("llama", "MOSTLY_Q4_0", 4, group_size=32),
    "onnx_fp32": Variant("onnx", "fp32", 32),
    "onnx_int8": Variant("onnx", "int8", 8, group_size=32),
    "onnx_int4": Variant("onnx", "int4", 4, group_size=32),
}
OVERLAYS = {"torch": True, "llama": False, "onnx": True}  # over qlab's environment, or alone


# ---- environments and files ----


def _call(what: str, *command: str | Path, threads: int = 2, told: str = "") -> str:
    """The last line that a command prints, given `told` on its standard input; if it fails,
    QlabError with `what` and its last line."""
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "USE_TF": "0"}
    call = list(map(str, command))
    done = subprocess.run(call, capture_output=True, text=True, env=env, input=told)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise QlabError(f"{what} failed (status {done.returncode}: {last}).")
    return done.stdout.strip().rpartition("\n")[2]


def requirements(engine: str) -> Path:
    """The file that lists what an engine's environment holds."""
    return HERE / f"requirements_{engine}.txt"


@cache
def environment(engine: str) -> Path:
    """The Python of an engine's environment, which is installed first if it is not complete."""
    folder = paths.build() / "peers" / f"kernels_{engine}"
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    wanted = requirements(engine).read_text() + sys.prefix
    if not (stamp.is_file() and stamp.read_text() == wanted):
        print(f"Making the environment of {engine}; llama's takes ten minutes.", flush=True)
        _call("Making the environment", sys.executable, "-m", "venv", "--clear", folder)
        install = [python, "-m", "pip", "install", "--quiet", "-r", requirements(engine)]
        if OVERLAYS[engine]:
            [site] = folder.glob("lib/python*/site-packages")
            mine = [p for p in sys.path if p.endswith("site-packages")]
            (site / "running_environment.pth").write_text("\n".join(mine) + "\n")
            install.append("--no-deps")
        _call(f"Installing the packages of {engine}", *install)
        stamp.write_text(wanted)
    return python


class Files(NamedTuple):
    """The files of all variants on disk, each made when first asked for."""

    data: Path  # QLAB_DATA
    limit: int  # passages to judge on

    @property
    def gguf(self) -> Path:
        """The file that all weights come from."""
        return self.data / GGUF

    def _made(self, engine: str, script: str, source: Path, *more: str) -> Path:
        """The folder that a script in an engine's environment fills from `source`."""
        recipe = {
            "code": file_sha256(HERE / f"{script}.py"),
            "source": file_sha256(source),
            "given": more,
            "requirements": requirements(engine).read_text(),
            "versions": versions("torch", "transformers"),
        }

        def make(folder: Path) -> None:
            _call(f"{script}.py", environment(engine), HERE / f"{script}.py", source, folder, *more)

        return artefact(f"kernels_{script}", recipe, make)

    def float(self) -> Path:
        """The Hugging Face folder of the dequantized weights."""
        return checkpoint.from_gguf(self.gguf)

    def rounded(self) -> Path:
        """The same in GPTQ's format, rounded to nearest: its kernel does not depend on how."""
        how = RoundToNearest(4, 64)

        def make(folder: Path) -> None:
            streaming.quantize_folder(self.float(), how, [], folder)
            streaming.name_the_embedding(folder)

        recipe = {"code": code_sha256(streaming.__name__), "folder": file_sha256(self.float())}
        return artefact("kernels_rtn", recipe, make)

    def source(self, variant: Variant) -> Path:
        """What a variant's side loads."""
        if variant.engine == "torch":
            return self.rounded() if variant.source == "rtn" else self.float()
        if variant.engine == "onnx":
            return self._made("onnx", "make_onnx", self.float()) / variant.source
        kinds = sorted({v.source for v in VARIANTS.values() if v.engine == "llama"} - {"ALL_F32"})
        return self._made("llama", "make_gguf", self.gguf, *kinds) / f"{variant.source}.gguf"

    def passages(self) -> list[dict]:
        """Tokens of the passages that are judged, and where their last word begins."""
        rows = lambada.read(self.data / PASSAGES)[CALIBRATING:][: self.limit]
        words = checkpoint.load_tokenizer(self.float())
        longest = checkpoint.context(checkpoint.read_config(self.float()))
        return [
            {"tokens": e.tokens, "start": len(e.tokens) - e.targets}
            for e in lambada.encode(rows, words, longest)
        ]


def size(source: Path) -> int:
    """Bytes of what is loaded: the file, or the folder's weights and graph."""
    files = (
        [source] if source.is_file() else [*source.glob("*.safetensors"), *source.glob("*onnx*")]
    )
    return sum(file.stat().st_size for file in files)


# ---- measuring ----


def run_side(files: Files, name: str, options: argparse.Namespace, judging: bool = False) -> dict:
    """What a fresh process reports for a variant: its costs or, with `judging`, its answers."""
    variant, rows = VARIANTS[name], files.passages()
    told = {
        "source": str(files.source(variant)),
        "threads": options.threads,
        "dtype": variant.dtype,
        "how": dict(variant.how),
        "prompt": [token for row in rows for token in row["tokens"]][:PROMPT],
        "write": WRITTEN,
        "rounds": options.rounds,
        "passages": rows if judging else [],
    }
    script = HERE / f"{variant.engine}_side.py"
    python = environment(variant.engine)
    return json.loads(_call(name, python, script, threads=options.threads, told=json.dumps(told)))


def measure(files: Files, names: Sequence[str], options: argparse.Namespace) -> list[dict]:
    """What each variant's process reports, round after round, in an order shuffled every round."""
    order, rounds = random.Random(0), []
    for _ in progress.bar("rounds of processes")(range(options.processes)):
        rounds.append({n: run_side(files, n, options) for n in order.sample(names, len(names))})
    return rounds


def cost_records(
    subject: Subject, rounds: Sequence[Mapping[str, dict]], threads: int
) -> list[Record]:
    """Speed and memory over processes; ratios to the parent are taken within a round."""
    device, found = provenance.device(bench.threads(threads)), []
    for name in rounds[0]:
        told = {key: np.array([r[name][key] for r in rounds]) for key in rounds[0][name]}
        made = {
            "tokens_per_s_prefill": told["read"],
            "tokens_per_s_decode": told["write"],
            "load_s": told["load_s"],
            "first_s": told["first_s"],
            "memory_imports_bytes": told["memory_imports"],
            "peak_memory_loading_bytes": told["memory_loading"],
            "peak_memory_bytes": told["memory_inference"],
        }
        if name != PARENT and PARENT in rounds[0]:
            for metric, key in (("prefill", "read"), ("decode", "write")):
                parent = np.array([r[PARENT][key] for r in rounds])
                made[f"times_faster_{metric}"] = told[key] / parent
        for metric, values in made.items():
            e = stats.geometric_mean(values)
            found.append(RECORD.estimated(subject, name, metric, e, device=device, **_about(name)))
    return found


def answer_records(subject: Subject, told: Mapping[str, dict]) -> list[Record]:
    """Accuracy, log-likelihood, and how often the next token is the one that fp32 chooses."""
    found = []
    for name, one in told.items():
        count, add = len(one["right"]), partial(RECORD.estimated, subject, name, **_about(name))
        found.append(add("acc", stats.proportion(sum(one["right"]), count)))
        mean = RECORD.counted(
            subject, name, "log_likelihood", np.mean(one["log_likelihood"]), count, **_about(name)
        )
        found.append(mean)
        if name != PARENT and PARENT in told:
            pairs = zip(told[PARENT]["choices"], one["choices"], strict=True)
            same = [a == b for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True)]
            found.append(add("top1_agreement", stats.proportion(sum(same), len(same))))
    return found


def _about(name: str) -> dict:
    return {k: getattr(VARIANTS[name], k) for k in ("bits", "group_size", "method")}


def run(options: argparse.Namespace, data: Path) -> list[Record]:
    """All records of the variants that were asked for."""
    files = Files(data, options.limit)
    subject = Subject("smollm2_135m_instruct_q4_1", "lambada_openai", file_sha256(files.gguf)[:12])
    names = [n for n in options.only if not (options.no_peers and VARIANTS[n].engine != "torch")]
    found = [
        RECORD.counted(subject, n, "size_bytes", size(files.source(VARIANTS[n])), **_about(n))
        for n in names
        if not VARIANTS[n].how  # quantized while loading: no file on disk has its size
    ]
    each = progress.bar("answers")
    found += answer_records(subject, {n: run_side(files, n, options, True) for n in each(names)})
    return found + cost_records(subject, measure(files, names, options), options.threads)


# ---- reading the records ----


def report(table: pd.DataFrame) -> str:
    """A row per variant, with 95 % intervals over processes in brackets."""
    columns = {
        "read t/s": ("tokens_per_s_prefill", ".0f", 1),
        "/fp32": ("times_faster_prefill", ".2f", 1),
        "write t/s": ("tokens_per_s_decode", ".1f", 1),
        "/fp32 ": ("times_faster_decode", ".2f", 1),
        "peak MB": ("peak_memory_bytes", ".0f", 1e-6),
        "imports MB": ("memory_imports_bytes", ".0f", 1e-6),
        "loading MB": ("peak_memory_loading_bytes", ".0f", 1e-6),
        "first s": ("first_s", ".1f", 1),
        "acc": ("acc", ".2f", 1),
        "as fp32": ("top1_agreement", ".3f", 1),
    }
    shown = {}
    for title, (metric, form, scale) in columns.items():
        rows = pick(table, metric).set_index("variant")
        bare = metric in ("memory_imports_bytes", "peak_memory_loading_bytes", "first_s")
        shown[title] = {
            v: format(row["value"] * scale, form) if bare else interval(row, form, scale)
            for v, row in rows.iterrows()
        }
    order = [v for v in VARIANTS if v in set(table["variant"])]
    device = pick(table, "tokens_per_s_decode")["device"].iloc[0]
    ns = pick(table, "tokens_per_s_decode")["n"].max(), pick(table, "acc")["n"].max()
    return (
        f"{device}; {ns[0]} processes, {ns[1]} passages\n"
        f"{pd.DataFrame(shown).reindex(order).fillna('-').to_string()}"
    )


# ---- the command ----


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; if anything is wrong with it, the program ends with a sentence."""
    parser = bench.parser(__doc__, "1 process of 2 rounds, 10 passages")
    add, whole = parser.add_argument, bench.whole
    add("--only", choices=VARIANTS, nargs="+", default=list(VARIANTS), help="variants to measure")
    add("--processes", type=whole, default=5, help="of each variant (5)")
    add("--rounds", type=whole, default=7, help="in each process (7)")
    add("--limit", type=whole, default=50, help="passages that judge (50)")
    add("--threads", type=whole, default=psutil.cpu_count(logical=False) or 1, help="of each")
    options = bench.parse(
        parser, NAME, arguments, lambda o: o.quick or set(o.only) != set(VARIANTS)
    )
    if options.quick:
        options.processes, options.rounds, options.limit = 1, 2, 10
    return options


def benchmark(options: argparse.Namespace) -> pd.DataFrame:
    """Measure and write the records; returns them."""
    started, load, data = time.time(), bench.load(), paths.real_data()
    found = run(options, data)
    inputs = {"gguf": file_sha256(data / GGUF), "passages": file_sha256(data / PASSAGES)}
    origin = provenance.collect(bench.chosen(options), inputs, PACKAGES, started)
    origin["load_average_before"] = load
    origin["peers"] = {e: requirements(e).read_text().splitlines() for e in OVERLAYS}
    return bench.write(found, origin, options.out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options, data = parse(arguments), paths.real_data() or Path("nowhere")
    if not options.show and not ((data / GGUF).is_file() and (data / PASSAGES).is_file()):
        print(f"{NAME} is left out: QLAB_DATA names no folder with {GGUF} and {PASSAGES}.")
        return 0
    return bench.main(options, benchmark, report)


if __name__ == "__main__":
    sys.exit(main())
