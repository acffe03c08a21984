"""AutoRound: rounding that is learned, a decoder layer at a time, so that 2 bits survive.

AutoRound (Cheng et al., arXiv 2309.05516) moves each weight by up to half a step before it is
rounded, and scales each group's range, by signed gradient descent on the decoder layer's output
error; what it stores is GPTQ's format, symmetric. Its library `auto-round` runs in a process of its
own (`python -m qlab.language.autoround`): importing it replaces functions of transformers.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from qlab.core import cache
from qlab.core.errors import QlabError
from qlab.language import gptq, gptq_format, llama, streaming

BATCH = 8  # rows of a step, the library's default
_LAYER_DONE = "layers in the block"  # the library logs this once for each decoder layer


def autoround_folder(
    folder: Path,
    calibration: list[list[int]],
    target: Path,
    *,
    bits: int = 2,
    group_size: int = 64,
    iterations: int = 100,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    progress=iter,
) -> None:
    """Write the Llama in `folder`, its linear layers quantized by AutoRound, as folder `target`.

    `calibration` are passages as token ids. A target that is there is left. On one machine, with
    one number of PyTorch's threads, the same arguments give the same weights.
    QlabError: `auto-round` is not installed; widths that cannot be packed; no calibration; the
    library failed, or its packed weights read back otherwise than they were tuned.
    """
    config = llama.float_config(folder)
    gptq_format.check_widths(llama.linear_shapes(config), bits, group_size)
    if not available():
        raise QlabError(
            "AutoRound needs the package auto-round; install the environment again with `make "
            "install`, or leave this variant out."
        )
    task = {"bits": bits, "group_size": group_size, "iterations": iterations, "seed": seed}
    task |= {"rows": rows(calibration), "device": device, "dtype": dtype, "folder": str(folder)}
    if target.exists():
        return
    with cache.written_whole(target) as part:
        part.mkdir()
        task |= {"target": str(part), "threads": torch.get_num_threads()}
        _in_own_process(task, config.num_hidden_layers, progress)


def available() -> bool:
    """Whether the library is installed; it is not imported."""
    return find_spec("auto_round") is not None


def rows(passages: list[list[int]]) -> list[list[int]]:
    """The passages' tokens joined and cut into rows as long as the longest, for the library wants
    rows of one length; the rest is dropped. QlabError: no passage has two tokens."""
    length = max(map(len, passages), default=0)
    if length < 2:
        raise QlabError(f"None of {len(passages)} calibration passages has two tokens; give some.")
    joined = [token for passage in passages for token in passage]
    return [joined[i : i + length] for i in range(0, len(joined) - length + 1, length)]


def _in_own_process(task: dict[str, Any], layers: int, progress) -> None:
    """Run this module on a task, and take a step of the progress bar at each decoder layer."""
    # Without USE_TF=0, transformers imports TensorFlow where it is installed, which takes long.
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "USE_TF": "0", "AR_LOG_LEVEL": "INFO"}
    process = subprocess.Popen(
        [sys.executable, "-m", "qlab.language.autoround"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    steps, said = iter(progress(range(layers))), deque(maxlen=1)
    try:
        # It stays open: when it ends, so does the other process.
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        for line in filter(str.strip, process.stdout):
            said.append(line.strip())
            if _LAYER_DONE in line:
                next(steps, None)
        code = process.wait()
    finally:
        # When this process is interrupted, nobody is left to take the result.
        process.kill()
        process.wait()
    if code:
        end = "failed" if code > 0 else f"was killed by signal {-code} (out of memory?)"
        raise QlabError(f"AutoRound {end} on {task['folder']}: {''.join(said) or 'no message'}")


def main() -> None:
    """What the process does: tune, export, check, and write the folder's files."""
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_launcher, daemon=True).start()
    started = time.perf_counter()
    source, target = Path(task["folder"]), Path(task["target"])
    export = target / "export"
    meant = _tuned(task, export)
    packed = llama.Weights(export)
    tensors = {name: _read(packed, name, meant[name], task["bits"]) for name in meant}
    shutil.rmtree(export)
    _write(source, target, tensors, task, (time.perf_counter() - started) / len(tensors))


def _leave_with_launcher() -> None:
    """End the process when whoever started it is gone, and nobody is left to take the result."""
    while os.read(sys.stdin.fileno(), 1024):  # not sys.stdin's own, whose lock an exit waits for
        pass
    os._exit(1)


def _tuned(task: dict[str, Any], export: Path) -> dict[str, torch.Tensor]:
    """Let the library tune and export the model; the weights [out, in] that it then means."""
    import gc

    from auto_round import AutoRound, QuantizationScheme, SignRoundConfig

    torch.set_num_threads(task["threads"])
    # The library has just imported every model of transformers and collects garbage several times
    # a layer: looking through all of those each time takes longer than the tuning.
    gc.freeze()
    source = Path(task["folder"])
    rounder = AutoRound(
        llama.load(source, task["dtype"]),
        llama.load_tokenizer(source),
        scheme=QuantizationScheme(bits=task["bits"], group_size=task["group_size"], sym=True),
        alg_configs=SignRoundConfig(iters=task["iterations"]),
        dataset=[torch.tensor([row]) for row in task["rows"]],
        nsamples=len(task["rows"]),
        seqlen=len(task["rows"][0]),
        batch_size=min(BATCH, len(task["rows"])),
        device_map=task["device"],
        seed=task["seed"],
        amp=task["dtype"] != "float32",
        enable_torch_compile=False,
    )
    model, _ = rounder.quantize()
    linears = [
        f"model.layers.{index}.{kind}"
        for index in range(model.config.num_hidden_layers)
        for kind in llama.LINEARS
    ]
    meant = {name: model.get_submodule(name).weight.detach() for name in linears}
    rounder.save_quantized(str(export), format="auto_gptq")
    return meant


def _read(packed: llama.Weights, name: str, meant: torch.Tensor, bits: int) -> dict:
    """The four tensors of a linear layer, if they hold the weights that the library tuned."""
    tensors = {end: packed.read(f"{name}.{end}") for end in gptq_format.SUFFIXES}
    try:
        gptq_format.check_packed(tensors, meant, bits)
    except ValueError as error:
        raise QlabError(f"{name}, packed by auto-round: {error}.") from error
    return tensors


def _write(
    source: Path, target: Path, linears: dict[str, dict], task: dict[str, Any], seconds: float
) -> None:
    """The files of the quantized folder; what is not quantized is stored as in the float one."""
    from safetensors.torch import save_file

    tied = llama.read_config(source).tie_word_embeddings
    left = {f"{name}.weight" for name in linears} | ({streaming.HEAD} if tied else set())
    weights = llama.Weights(source)
    tensors = {name: weights.read(name) for name in weights.names if name not in left}
    if tied:
        # Under this name alone does auto-gptq find it; see `streaming`.
        tensors[streaming.HEAD] = tensors.pop(streaming.EMBEDDING)
    for name, parts in linears.items():
        tensors |= {f"{name}.{end}": tensor for end, tensor in parts.items()}
    save_file(tensors, target / llama.WEIGHTS, metadata={"format": "pt"})
    notes = {name: {"damping": 0.0, "seconds": round(seconds, 3)} for name in linears}
    method = gptq.RoundToNearest(task["bits"], task["group_size"])
    streaming.write_beside(source, target, method, notes)


if __name__ == "__main__":
    main()
