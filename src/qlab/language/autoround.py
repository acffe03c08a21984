"""AutoRound: rounding that is learned, a decoder block at a time, so that 2 bits survive.

AutoRound (Cheng et al., arXiv 2309.05516) moves each weight by up to half a step before it is
rounded, and scales each group's range, by signed gradient descent on the block's output error; what
it stores is GPTQ's format, symmetric. The call is the notebook's; it runs in a process of its own,
because importing the library replaces functions of transformers.
"""

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import cloudpickle
import torch
from safetensors.torch import save_file

from qlab.core.errors import QlabError
from qlab.core.progress import bar
from qlab.language import configuration, decoder, gptq, gptq_format, streaming
from qlab.language.configuration import WEIGHTS, Weights
from qlab.language.quantized import Library

if TYPE_CHECKING:
    from qlab.language.data import Task

_BLOCK_DONE = "layers in the block"  # the library logs this once for each decoder block


class AutoRound(Library):
    """A variant that `rounder(model, tokenizer, rows, **settings)` makes: an `AutoRound`, not run
    yet. `rows` are calibration tokens, int64 [1, n] each, all of one length."""

    def __init__(self, bits: int, group_size: int, rounder: Callable, **settings: Any):
        settings = {"rounder": rounder, "bits": bits, "group_size": group_size, **settings}
        fits = gptq.RoundToNearest(bits, group_size).check
        super().__init__("autoround", bits, group_size, write, settings, fits)


def write(task: "Task", target: Path, rounder: Callable, **settings: Any) -> None:
    """Write the task's model, rounded, into the folder `target`. On one machine, with one number of
    threads, the same arguments give the same weights.

    QlabError: no calibration; the library failed, or its packed weights read back otherwise than
    they were tuned.
    """
    given = (task.folder, task.choice.dtype, rows(task.calibration_tokens), target)
    blocks = configuration.read(task.folder).num_hidden_layers
    _alone((rounder, given, settings, torch.get_num_threads()), blocks, str(task.folder))


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
    process = subprocess.Popen(
        [sys.executable, "-m", "qlab.language.autoround"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | {"HF_HUB_OFFLINE": "1", "AR_LOG_LEVEL": "INFO"},
    )
    steps, said = iter(bar("autoround: blocks")(range(blocks))), "no message"
    try:
        # It stays open: when it ends, so does the other process.
        process.stdin.buffer.write(cloudpickle.dumps(work))
        process.stdin.buffer.flush()
        for line in process.stdout:
            said = line.strip() or said
            if _BLOCK_DONE in line:
                next(steps, None)
        code = process.wait()
    finally:
        # When this process is interrupted, nobody is left to take the result.
        process.kill()
        process.wait()
    if code:
        end = "failed" if code > 0 else f"was killed by signal {-code} (out of memory?)"
        raise QlabError(f"AutoRound {end} on {where}: {said}")


def main() -> None:
    """What the process does: tune, export, check, and write the folder's files."""
    work = cloudpickle.load(sys.stdin.buffer)
    threading.Thread(target=_leave_with_launcher, daemon=True).start()
    rounder, (source, dtype, calibration, target), settings, threads = work
    torch.set_num_threads(threads)
    model, words = decoder.load(source, dtype), configuration.load_tokenizer(source)
    import auto_round  # noqa: F401

    # It imports every model of transformers and collects garbage several times a block, which
    # would take longer than the tuning.
    gc.freeze()
    tuning = rounder(model, words, [torch.tensor([row]) for row in calibration], **settings)
    model, _ = tuning.quantize()
    with TemporaryDirectory(dir=target) as export:
        # The export empties the layers.
        names = decoder.shapes(configuration.read(source))
        meant = {name: decoder.matrix(model.get_submodule(name)) for name in names}
        tuning.save_quantized(export, format="auto_gptq")
        _write(source, target, Weights(Path(export)), meant, settings)


def _leave_with_launcher() -> None:
    """End the process when whoever started it is gone, and nobody is left to take the result."""
    while os.read(sys.stdin.fileno(), 1024):  # not sys.stdin's own, whose lock an exit waits for
        pass
    os._exit(1)


def _write(source: Path, target: Path, packed: Weights, meant: dict, settings: dict) -> None:
    """The files of the quantized folder: `packed` layers, if they hold the weights that were
    `meant`; what is not quantized is stored as in the float folder."""
    method = gptq.RoundToNearest(settings["bits"], settings["group_size"])
    model = decoder.empty(configuration.read(source))
    tensors = streaming.kept(
        model,
        decoder.reader(source, model),
        method.config(),
        lambda name: name.removesuffix(".weight") in meant,
    )
    for name, weight in meant.items():
        parts = {end: packed.read(f"{name}.{end}") for end in gptq_format.SUFFIXES}
        try:
            gptq_format.check_packed(parts, weight, method.bits)
        except QlabError as error:
            raise QlabError(f"{name}, packed by auto-round: {error}") from error
        tensors |= {f"{name}.{end}": part for end, part in parts.items()}
    save_file(tensors, target / WEIGHTS, metadata={"format": "pt"})
    streaming.write_beside(source, target, method.config())


if __name__ == "__main__":
    main()
