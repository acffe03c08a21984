"""AutoRound: rounding that is learned, a decoder block at a time, so that 2 bits survive.

AutoRound (Cheng et al., arXiv 2309.05516) moves each weight by up to half a step before it is
rounded, and scales each group's range, by signed gradient descent on the block's output error; what
it stores is GPTQ's format, symmetric. The call is the notebook's; it runs in a process of its own,
because importing the library replaces functions of transformers.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import torch

from qlab.core.errors import QlabError
from qlab.core.progress import bar
from qlab.language import configuration, decoder, gptq, gptq_format, streaming, walk
from qlab.language.quantized import Library
from qlab.language.weights import WEIGHTS, Weights

if TYPE_CHECKING:
    from qlab.language.data import Task

_BLOCK_DONE = "layers in the block"  # the library logs this once for each decoder block


class AutoRound(Library):
    """A variant that `rounder(model, tokenizer, rows, **settings)` makes: an `AutoRound`, not run
    yet. `rows` are calibration tokens, int64 [1, n] each, all of one length."""

    def __init__(self, bits: int, group_size: int, rounder: Callable, **settings: Any):
        settings = {"rounder": rounder, "bits": bits, "group_size": group_size, **settings}
        fits = partial(gptq_format.check_widths, bits=bits, group_size=group_size)
        super().__init__("autoround", bits, group_size, write, settings, fits)


def write(task: "Task", target: Path, rounder: Callable, **settings: Any) -> None:
    """Write the task's model, rounded, into the folder `target`. On one machine, with one number of
    threads, the same arguments give the same weights.

    QlabError: no calibration; the library failed, or its packed weights read back otherwise than
    they were tuned.
    """
    given = (task.folder, task.choice.dtype, rows(task.calibration_tokens), target)
    count = len(walk.Walk(task.folder, []))
    _alone((rounder, given, settings, torch.get_num_threads()), count, str(task.folder))


def rows(passages: list[list[int]]) -> list[list[int]]:
    """The passages' tokens joined and cut into rows as long as the longest, for the library wants
    rows of one length; the rest is dropped. QlabError: no passage has two tokens."""
    length = max(map(len, passages), default=0)
    if length < 2:
        raise QlabError(f"None of {len(passages)} calibration passages has two tokens; give some.")
    joined = [token for passage in passages for token in passage]
    return [joined[i : i + length] for i in range(0, len(joined) - length + 1, length)]


def _alone(work: tuple, blocks: int, where: str) -> None:
    """Run `main` on some work in a process of its own, a step of a progress bar at each block."""
    # Without USE_TF=0, transformers imports TensorFlow where it is installed, which takes long.
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "USE_TF": "0", "AR_LOG_LEVEL": "INFO"}
    process = subprocess.Popen(
        [sys.executable, "-m", "qlab.language.autoround"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    steps, said = iter(bar("autoround: blocks")(range(blocks))), deque(maxlen=1)
    try:
        # It stays open: when it ends, so does the other process.
        process.stdin.write(cloudpickle.dumps(work))
        process.stdin.flush()
        for line in filter(None, (raw.decode(errors="replace").strip() for raw in process.stdout)):
            said.append(line)
            if _BLOCK_DONE in line:
                next(steps, None)
        code = process.wait()
    finally:
        # When this process is interrupted, nobody is left to take the result.
        process.kill()
        process.wait()
    if code:
        end = "failed" if code > 0 else f"was killed by signal {-code} (out of memory?)"
        raise QlabError(f"AutoRound {end} on {where}: {''.join(said) or 'no message'}")


def main() -> None:
    """What the process does: tune, export, check, and write the folder's files."""
    rounder, (source, dtype, calibration, target), settings, threads = cloudpickle.load(
        sys.stdin.buffer
    )
    threading.Thread(target=_leave_with_launcher, daemon=True).start()
    torch.set_num_threads(threads)
    started = time.perf_counter()
    model, words = decoder.load(source, dtype), configuration.load_tokenizer(source)
    _freeze()
    tuning = rounder(model, words, [torch.tensor([row]) for row in calibration], **settings)
    model, _ = tuning.quantize()
    prefix, blocks = decoder.blocks(model)
    names = [f"{prefix}.{name}" for name in decoder.linears(blocks)]
    meant = {name: decoder.matrix(model.get_submodule(name)) for name in names}
    export = target / "export"
    tuning.save_quantized(str(export), format="auto_gptq")
    packed = Weights(export)
    tensors = {name: _read(packed, name, meant[name], settings["bits"]) for name in meant}
    shutil.rmtree(export)
    method = gptq.RoundToNearest(settings["bits"], settings["group_size"])
    _write(source, target, tensors, method, (time.perf_counter() - started) / len(tensors))


def _freeze() -> None:
    """Leave what is alive out of garbage collections: the library imports every model of
    transformers and collects several times a block, which takes longer than the tuning."""
    import gc

    import auto_round  # noqa: F401

    gc.freeze()


def _leave_with_launcher() -> None:
    """End the process when whoever started it is gone, and nobody is left to take the result."""
    while os.read(sys.stdin.fileno(), 1024):  # not sys.stdin's own, whose lock an exit waits for
        pass
    os._exit(1)


def _read(packed: Weights, name: str, meant: torch.Tensor, bits: int) -> dict:
    """The four tensors of a linear layer, if they hold the weights that the library tuned."""
    tensors = {end: packed.read(f"{name}.{end}") for end in gptq_format.SUFFIXES}
    try:
        gptq_format.check_packed(tensors, meant, bits)
    except ValueError as error:
        raise QlabError(f"{name}, packed by auto-round: {error}.") from error
    return tensors


def _write(
    source: Path,
    target: Path,
    linears: dict[str, dict],
    method: gptq.RoundToNearest,
    seconds: float,
) -> None:
    """The files of the quantized folder; what is not quantized is stored as in the float one."""
    from safetensors.torch import save_file

    model = decoder.empty(configuration.read(source))
    read, tied = decoder.reader(source, model), decoder.tied(model)
    tensors = {
        name: read(name, parameter.shape)
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if name not in tied and name.removesuffix(".weight") not in linears
    }
    if tied:
        # Under this name alone does auto-gptq find it; see `streaming`.
        tensors[min(tied)] = tensors.pop(decoder.embedding_name(model))
    for name, parts in linears.items():
        tensors |= {f"{name}.{end}": tensor for end, tensor in parts.items()}
    save_file(tensors, target / WEIGHTS, metadata={"format": "pt"})
    notes = {name: {"damping": 0.0, "seconds": round(seconds, 3)} for name in linears}
    streaming.write_beside(source, target, method.config(), notes)


if __name__ == "__main__":
    main()
