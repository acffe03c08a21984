"""Peak memory of quantizing a Llama of Llama-3.2-3B's shape by streaming, over its float16 size.

    python benchmarks/streaming_memory.py [--layers N] [--passages N] [--quick] [--show] [--help]

The weights are random: memory does not depend on them. The model is written under build/, shard by
shard (6.4 GB), quantized in fresh processes, and deleted. `rtn_w4_g128` goes through all decoder
layers. `gptq_w4_g128` would take hours on two cores and is stopped after --layers of them: each
takes as much memory as the one before, and the final write is covered by the other run.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import bench
import pandas as pd

from qlab.core import paths, provenance, timing
from qlab.core.records import Record, pick

# transformers 4 imports TensorFlow if it finds it: half a gigabyte that nothing here uses.
os.environ.setdefault("USE_TF", "0")

NAME = "streaming_memory"
RECORD = bench.recorder(NAME)
SUBJECT = bench.Subject("llama_3b_shaped_random", "random_tokens")
SEED = 0
TARGET = 1.2  # peak resident memory over the model's float16 size, at most
TOKENS = 83  # per passage: LAMBADA's mean with Llama 3's tokenizer
GPTQ, RTN = "gptq_w4_g128", "rtn_w4_g128"
ABOUT = {
    "fp16": {"bits": 16},
    GPTQ: {"method": "gptq", "bits": 4, "group_size": 128},
    RTN: {"method": "rtn", "bits": 4, "group_size": 128},
}
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
    """As many decoder layers are done as were asked for."""


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
    """Write a tokenizer of single bytes: a model folder has one, but nothing is tokenized here."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(words, []))).save_pretrained(
        folder
    )


def quantize(folder: Path, name: str, layers: int, passages: int) -> None:
    """Quantize `layers` decoder layers by streaming; after the last one, the folder is complete."""
    import random

    from qlab.language import checkpoint, gptq, streaming

    config = checkpoint.read_config(folder)
    chance = random.Random(SEED)
    rows = [[chance.randrange(config.vocab_size) for _ in range(TOKENS)] for _ in range(passages)]

    def stopping(items):
        for i in items:
            if i == layers:
                raise _Enough
            print(f"{name}: decoder layer {i + 1} of {layers}", file=sys.stderr, flush=True)
            yield i

    target = folder.with_name(f"{folder.name}-{name}")
    target.mkdir()
    method = {RTN: gptq.RoundToNearest, GPTQ: gptq.Gptq}[name](4, 128)
    try:
        streaming.quantize_folder(folder, method, rows, target, progress=stopping)
    except _Enough:
        return


def measure(options: argparse.Namespace) -> list[Record]:
    """Write the model, quantize it in fresh processes, delete everything; returns the records."""
    shape = SHAPE | QUICK if options.quick else SHAPE
    work = paths.build() / "streaming_memory"
    shutil.rmtree(work, ignore_errors=True)
    try:
        print("Writing the random model ...", flush=True)
        size = write_model(work / "model", shape)
        found = [_record("fp16", "size_bytes", size)]
        for name, layers in ((RTN, shape["num_hidden_layers"]), (GPTQ, options.layers)):
            print(f"{name}: {layers} of {shape['num_hidden_layers']} layers ...", flush=True)
            arguments = ["--child", str(work / "model"), name, str(layers), str(options.passages)]
            peak = int(timing.fresh([str(Path(__file__).resolve()), *arguments]))
            found += [
                _record(name, "peak_memory_bytes", peak, layers),
                _record(name, "peak_memory_ratio", peak / size, layers),
            ]
        return found
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _record(variant: str, metric: str, value: float, n: int = 1) -> Record:
    return RECORD.counted(SUBJECT, variant, metric, value, n, seed=SEED, **ABOUT[variant])


def report(table: pd.DataFrame) -> str:
    """What was measured, and whether the target is met."""
    (size,) = pick(table, "size_bytes")["value"]
    lines = [f"A Llama of {size / 1e9:.2f} GB in float16."]
    for name in (RTN, GPTQ):
        (peak,) = pick(table, "peak_memory_bytes", variant=name).itertuples()
        ratio = peak.value / size
        verdict = f"{'met' if ratio < TARGET else 'NOT met'}: below {TARGET}"
        if size < 5e9:
            verdict = "no verdict: the model is small, libraries take most of it"
        lines.append(
            f"{name}, {peak.n} decoder layers: peak resident memory "
            f"{peak.value / 1e9:.2f} GB, {ratio:.2f} x of it ({verdict})."
        )
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; if anything is wrong with it, the program ends with a sentence."""
    parser = bench.parser(__doc__, "a model of 0.3 GB instead")
    add, most = parser.add_argument, SHAPE["num_hidden_layers"]
    add("--layers", type=bench.whole, default=2, help="decoder layers that GPTQ quantizes (2)")
    add("--passages", type=bench.whole, default=128, help=f"of {TOKENS} tokens, to calibrate (128)")
    add("--child", nargs=4, help=argparse.SUPPRESS)
    options = bench.parse(parser, NAME, arguments)
    if options.layers > most:
        parser.error(f"--layers must be 1 to {most}; got {options.layers}.")
    return options


def benchmark(options: argparse.Namespace) -> pd.DataFrame:
    """Measure and write the records; returns them."""
    started = time.time()
    found = measure(options)
    origin = provenance.collect(bench.chosen(options), {}, PACKAGES, started)
    return bench.write(found, origin, options.out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parse(arguments)
    if not options.child:
        return bench.main(options, benchmark, report)
    folder, name, layers, passages = options.child
    quantize(Path(folder), name, int(layers), int(passages))
    timing.print_peak_memory()
    return 0


if __name__ == "__main__":
    sys.exit(main())
