"""AutoRound: rounding learned one decoder block at a time, so that a model survives 2 bits.

AutoRound (Cheng et al., arXiv 2309.05516) moves each weight by up to half a step before it is
rounded, and scales each group's range, by signed gradient descent on the block's output error; the
result is stored in GPTQ's format, symmetric. The notebook makes the call; it runs in a process of
its own, because importing the library replaces functions of transformers.
"""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from joblib.externals import loky
from safetensors.torch import save_file

from qlab.core import processes
from qlab.core.errors import QlabError
from qlab.core.quiet import quiet
from qlab.language import checkpoint, decoder, gptq, streaming
from qlab.language.checkpoint import WEIGHTS, Weights


def write(task, target: Path, rounder: Callable, **settings: Any) -> None:
    """Write the task's model, rounded, into the folder `target`; repeatable on one machine.
    `rounder(model, tokenizer, rows, **settings)` returns an `AutoRound` that has not run yet;
    `settings` include `bits` and `group_size`; `rows` are calibration tokens, int64 [1, n] each, of
    one length. QlabError: the process was killed, or other weights were packed than tuned."""
    given = (task.folder, task.choice.dtype, rows(task.calibration_tokens), target)
    start = {"initializer": processes._prepare, "initargs": (os.getpid(), os.getcwd())}
    alone = loky.ProcessPoolExecutor(1, env={"HF_HUB_OFFLINE": "1"}, **start)
    try:
        alone.submit(_tune, *given, rounder, settings, torch.get_num_threads()).result()
    except loky.BrokenProcessPool as error:
        raise QlabError(f"AutoRound was killed on {task.folder} (out of memory?).") from error
    finally:
        alone.shutdown(kill_workers=True)


def rows(passages: list[list[int]]) -> list[list[int]]:
    """The passages' tokens joined and cut into rows of the longest passage's length; the remainder
    is dropped."""
    length = max(map(len, passages))
    joined = [token for passage in passages for token in passage]
    return [joined[i : i + length] for i in range(0, len(joined) - length + 1, length)]


def _tune(source: Path, dtype: str, calibration: list, target: Path, rounder, settings, threads):
    """The work of the process: tune, export, check that the packed weights are those meant, and
    write them with the rest of the float folder."""
    torch.set_num_threads(threads)
    model, words = streaming.load_dense(source, dtype), checkpoint.load_tokenizer(source)
    with quiet(), TemporaryDirectory(dir=target) as export:
        import auto_round  # noqa: F401

        # It imports all of transformers; collecting that garbage would take longer than the tuning.
        gc.freeze()
        tuning = rounder(model, words, [torch.tensor([row]) for row in calibration], **settings)
        model, _ = tuning.quantize()
        names = decoder.shapes(checkpoint.read_config(source))
        meant = {name: decoder.matrix(model.get_submodule(name)) for name in names}
        tuning.save_quantized(export, format="auto_gptq")  # which empties the layers
        packed, whole = Weights(Path(export)), decoder.empty(checkpoint.read_config(source))
        method = gptq.RoundToNearest(settings["bits"], settings["group_size"])
        read, inside = decoder.weights(source, whole).read, {f"{name}.weight" for name in names}
        tensors = streaming.kept(whole, read, method.config(), inside)
        for name, weight in meant.items():
            parts = {end: packed.read(f"{name}.{end}") for end in gptq.SUFFIXES}
            gptq.check_packed(parts, weight, method.bits, f"{name}, packed by auto-round: ")
            tensors |= {f"{name}.{end}": part for end, part in parts.items()}
    save_file(tensors, target / WEIGHTS, metadata={"format": "pt"})
    streaming.write_beside(source, target, method.config())
