"""Calls that end in the same digits whatever runs beside them, and share what cores there are."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from qlab.core import processes
from qlab.language.data import EMBEDDED_MODEL, Task

log = logging.getLogger(__name__)


def each(task: Task, calls: Mapping[str, Callable[[], Any]], progress=iter) -> dict[str, Any]:
    """Name -> what its call returns, `reproducible`; those for which memory ran out are left out,
    which is said. As many processes as the task has threads share those of a small task."""
    # A larger model might not fit into memory twice; at smoke the processes would start too long.
    alone = task.given.profile == "smoke" or threads(task) > 1
    most = 1 if alone else task.given.threads
    made = processes.starmap(_one, [(task, call) for call in calls.values()], most, progress)
    found = dict(zip(calls, made, strict=True))
    for name in [name for name, one in found.items() if one is None]:
        log.warning("%s ran out of memory and is left out; take a larger machine for it.", name)
        del found[name]
    return found


def _one(task: Task, call: Callable[[], Any]) -> Any:
    """What the call returns, or None where memory ran out."""
    try:
        with reproducible(task):
            return call()
    except (MemoryError, RuntimeError) as error:
        short = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not short and "can't allocate memory" not in str(error):
            raise
        return None


@contextlib.contextmanager
def reproducible(task: Task) -> Iterator[None]:
    """PyTorch has one thread for a small task, and the task's for another: sums of another number
    of threads end in other digits, with which GPTQ rounds other weights."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads(task))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads(task: Task) -> int:
    """Of PyTorch, for what is `reproducible`: one for the embedded model and its twins on a CPU."""
    small = task.model.startswith(EMBEDDED_MODEL) and task.choice.device == "cpu"
    return 1 if small else task.given.threads
