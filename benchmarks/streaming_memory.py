"""Peak memory of quantizing a Llama of Llama-3.2-3B's shape by streaming, over its float16 size.

    python benchmarks/streaming_memory.py [--layers N] [--passages N] [--quick] [--show] [--help]

The weights are random: memory does not depend on them. The model is written under build/ shard by
shard (6.4 GB), quantized in fresh processes, and deleted. `rtn_w4_g128` goes through all decoder
layers. `gptq_w4_g128` would take hours on two cores and is stopped after --layers of them: each
takes the same memory as the one before, and what is written at the end is in the other run.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from qlab.core import cache, paths, provenance, records, timing
from qlab.core.errors import QlabError
from qlab.core.records import Record

# transformers 4 imports TensorFlow where it finds it: half a gigabyte that nothing here uses.
os.environ.setdefault("USE_TF", "0")

EXPERIMENT = "bench_streaming_memory"
MODEL = "llama_3b_shaped_random"
DATASET = "random_tokens"
RESULT = Path(__file__).resolve().parent / "results" / "streaming_memory.csv"
SEED = 0
TARGET = 1.2  # peak resident memory over the model's float16 size, at most
TOKENS = 83  # a passage: LAMBADA's mean with Llama 3's tokenizer
GPTQ, RTN = "gptq_w4_g128", "rtn_w4_g128"
SHAPE = {
    "vocab_size": 128256,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": True,
}
QUICK = {"vocab_size": 16384, "hidden_size": 1024, "intermediate_size": 2048}
QUICK |= {"num_hidden_layers": 16, "num_attention_heads": 8}
PACKAGES = ["torch", "transformers", "auto_gptq", "safetensors", "numpy"]


class _Enough(Exception):
    """As many decoder layers as were asked for are done."""


def write_model(folder: Path, shape: dict) -> int:
    """Write a random float16 Llama, a shard for each decoder layer; returns its weights' bytes."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**shape, torch_dtype="float16")
    config.architectures = ["LlamaForCausalLM"]
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in LlamaForCausalLM(config).state_dict().items()}
    del shapes["lm_head.weight"]  # tied
    torch.manual_seed(SEED)
    shards: dict[str, list[str]] = {}
    for name in shapes:
        layer = name.split(".")[2] if name.startswith("model.layers.") else "rest"
        shards.setdefault(f"model-{layer}.safetensors", []).append(name)
    folder.mkdir(parents=True)
    for file, names in shards.items():
        tensors = {n: torch.empty(shapes[n], dtype=torch.float16).normal_(0, 0.02) for n in names}
        for tensor in tensors.values():
            if tensor.dim() == 1:  # norms
                tensor.fill_(1.0)
        save_file(tensors, folder / file, metadata={"format": "pt"})
    places = {name: file for file, names in shards.items() for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    config.save_pretrained(folder)
    write_tokenizer(folder)
    return 2 * sum(shape.numel() for shape in shapes.values())


def write_tokenizer(folder: Path) -> None:
    """One that knows single bytes: a model folder has one, though nothing is tokenized here."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(words, []))).save_pretrained(
        folder
    )


def quantize(folder: Path, name: str, layers: int, passages: int) -> None:
    """Quantize `layers` decoder layers by streaming; in the last, the folder becomes whole."""
    import random

    from qlab.language import llama, methods, streaming

    config = llama.read_config(folder)
    chance = random.Random(SEED)
    rows = [[chance.randrange(config.vocab_size) for _ in range(TOKENS)] for _ in range(passages)]

    def stopping(items):
        for i in items:
            if i == layers:
                raise _Enough
            print(f"{name}: decoder layer {i + 1} of {layers}", file=sys.stderr, flush=True)
            yield i

    target = folder.with_name(f"{folder.name}-{name}")
    try:
        streaming.quantize_folder(folder, methods.method(name), rows, target, progress=stopping)
    except _Enough:
        return


def measure(options: argparse.Namespace) -> list[Record]:
    """Write the model, quantize it in fresh processes, delete everything; the records."""
    shape = SHAPE | QUICK if options.quick else SHAPE
    work = paths.build() / "streaming_memory"
    shutil.rmtree(work, ignore_errors=True)
    try:
        print("Writing the random model ...", flush=True)
        size = write_model(work / "model", shape)
        found = [_record("fp16", "size_bytes", size, "byte")]
        for name, layers in ((RTN, shape["num_hidden_layers"]), (GPTQ, options.layers)):
            print(f"{name}: {layers} of {shape['num_hidden_layers']} layers ...", flush=True)
            arguments = ["--child", str(work / "model"), name, str(layers), str(options.passages)]
            peak = timing.peak_memory([str(Path(__file__).resolve()), *arguments])
            found += [
                _record(name, "peak_memory_bytes", peak, "byte", n=layers),
                _record(name, "peak_memory_ratio", peak / size, "1", n=layers),
            ]
        return found
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _record(variant: str, metric: str, value: float, unit: str, n: int = 1) -> Record:
    return Record(EXPERIMENT, MODEL, DATASET, variant, metric, float(value), unit, n=n, seed=SEED)


def report(table: pd.DataFrame) -> str:
    """What was measured, and whether the target is met."""
    value = table.set_index(["variant", "metric"])["value"]
    layers = table.set_index(["variant", "metric"])["n"]
    size = value["fp16", "size_bytes"]
    lines = [f"A Llama of {size / 1e9:.2f} GB in float16."]
    for name in (RTN, GPTQ):
        ratio = value[name, "peak_memory_ratio"]
        verdict = f"{'met' if ratio < TARGET else 'NOT met'}: below {TARGET}"
        if size < 5e9:
            verdict = "no verdict: the model is small, libraries take most of it"
        lines.append(
            f"{name}, {layers[name, 'peak_memory_ratio']} decoder layers: peak resident memory "
            f"{value[name, 'peak_memory_bytes'] / 1e9:.2f} GB, {ratio:.2f} x of it "
            f"({verdict})."
        )
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--layers", type=int, default=2, help="decoder layers that GPTQ quantizes (2)")
    add("--passages", type=int, default=128, help=f"calibration passages of {TOKENS} tokens (128)")
    add("--out", type=Path, help="csv to write (default: the committed one; under build/ if quick)")
    add("--quick", action="store_true", help="a model of 0.3 GB instead")
    add("--show", action="store_true", help="print the csv that is there; measure nothing")
    add("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not 1 <= options.layers <= SHAPE["num_hidden_layers"]:
        parser.error(f"--layers must be 1 to {SHAPE['num_hidden_layers']}; got {options.layers}.")
    if options.passages < 1:
        parser.error(f"--passages must be 1 or more; got {options.passages}.")
    options.out = options.out or (paths.build() / RESULT.name if options.quick else RESULT)
    return options


def benchmark(options: argparse.Namespace) -> pd.DataFrame:
    """Measure and write; returns the records."""
    started = time.time()
    table = records.check(records.as_table(measure(options)), f"records of {EXPERIMENT}")
    chosen = {name: getattr(options, name) for name in ("layers", "passages", "quick")}
    origin = provenance.collect(chosen, {}, PACKAGES, started)
    with cache.written_whole(options.out) as part:
        table.to_csv(part, index=False, float_format="%.10g")
    with cache.written_whole(options.out.with_suffix(".provenance.json")) as part:
        part.write_text(json.dumps(origin, indent=2, sort_keys=True) + "\n")
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parse(arguments)
    try:
        if options.child:
            folder, name, layers, passages = options.child
            quantize(Path(folder), name, int(layers), int(passages))
            timing.print_peak_memory()
            return 0
        if options.show and not options.out.is_file():
            raise QlabError(f"There are no results at {options.out}; run without --show first.")
        table = pd.read_csv(options.out) if options.show else benchmark(options)
    except QlabError as error:
        print(error, file=sys.stderr)
        return 1
    print(report(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
