"""What training over a network sends: counted on the interface, and reckoned from the model.

Per step, data-parallel training all-reduces the gradients of what is trained, as float32. The ring
algorithm sends 2 (n - 1) / n times their bytes from each of n workers (Patarasuk and Yuan 2009,
"Bandwidth optimal all-reduce algorithms"). Fake quantization adds the ranges of activations, whose
moving averages tfmot averages over the workers, two numbers a quantizer, each in a message of its
own. Normalization's moving averages stay with each worker until a checkpoint is written.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qlab.classifier import distributed_training
from qlab.classifier.distributed_training import Configuration, Settings
from qlab.classifier.network_namespace import loopback_bytes
from qlab.classifier.worker_cluster import Cluster, cluster

if TYPE_CHECKING:
    from qlab.classifier.labelled_examples import LabelledExamples

IDLE = 1.0  # seconds for which the waiting workers are listened to


class Traffic(NamedTuple):
    """Bytes that a configuration's training sends, over all workers."""

    name: str  # of the configuration
    step_bytes: list[int]  # counted on the interface at each step, headers of TCP and IP too
    analytic_bytes: int  # by the ring's formula: gradients and ranges
    gradient_bytes: int  # float32 gradients of one worker
    range_bytes: int  # ranges of activations of one worker
    messages: int  # all-reduces at a step
    checkpoint_bytes: int  # counted while one checkpoint was written
    idle_bytes: float  # counted in a second of waiting; taken off only where not own_network
    own_network: bool  # whether nothing but the workers used the interface

    @property
    def overhead(self) -> float:
        """Share by which the median step sends more than the formula says."""
        return float(np.median(self.step_bytes)) / self.analytic_bytes - 1

    @property
    def place(self) -> str:
        """A sentence on where the bytes were counted."""
        if self.own_network:
            return "Counted on a loopback interface that nothing but the workers used."
        return (
            "Counted on this machine's loopback interface, which others may use, less what it "
            f"carried while the workers waited ({self.idle_bytes:.0f} bytes a second)."
        )


def all_reduce_bytes(size: int, workers: int = 2) -> int:
    """Bytes that a ring all-reduce of `size` bytes sends, all workers together: 2 (n - 1) size."""
    return 2 * (workers - 1) * size


def measure(
    model: Path,
    configurations: Sequence[Configuration],
    examples: "LabelledExamples",
    steps: int = 6,
    warmup: int = 2,
    settings: Settings = Settings(),  # noqa: B008  (it cannot be changed)
    own_network: bool = True,
    progress: Callable[[Iterable], Iterable] = iter,
) -> list[Traffic]:
    """Train each configuration on two real workers for a few steps, and count what they send.

    One pair of processes trains all, each from the model's own weights. They use a network
    namespace of their own, or else this machine's loopback interface, where what it carried
    before, while they waited, is taken off. Linux only (QlabError), as are the counters.
    """
    loopback_bytes()  # where it cannot be read, say so before anything is started
    with tempfile.TemporaryDirectory() as made, cluster(Path(made), 2, own_network) as workers:
        data = distributed_training.write_examples(examples, Path(made))
        found = []
        for configuration in progress(configurations):
            sent = distributed_training.configure(workers, model, configuration, data, settings)
            found.append(_measured(workers, configuration.name, sent, steps, warmup, Path(made)))
    return found


def _measured(
    workers: Cluster, name: str, sent: dict, steps: int, warmup: int, scratch: Path
) -> Traffic:
    """Count the bytes of the workers' next steps."""
    last = warmup + steps
    for step in range(1, warmup + 1):
        distributed_training.take_step(workers, step, last)
    idle, seconds = _counted(workers, lambda: time.sleep(IDLE))
    rate = idle / seconds
    counted = []
    for step in range(warmup + 1, last + 1):
        counted.append(
            _counted(workers, lambda s=step: distributed_training.take_step(workers, s, last))
        )
    place = {"folder": str(scratch / name), "scratch": str(scratch)}
    checkpoint, _ = _counted(workers, lambda: workers.ask("save", **place))
    other = 0.0 if workers.private else rate
    gradients = 4 * sent["trained_parameters"]
    return Traffic(
        name,
        [max(round(size - other * seconds), 0) for size, seconds in counted],
        all_reduce_bytes(sum(sent["reduced"]), len(workers.workers)),
        gradients,
        sum(sent["reduced"]) - gradients,
        len(sent["reduced"]),
        checkpoint,
        rate,
        workers.private,
    )


def _counted(workers: Cluster, call: Callable[[], object]) -> tuple[int, float]:
    """Bytes on the workers' interface during a call, and its seconds."""
    process = workers.workers[0].process.pid
    before, start = loopback_bytes(process), time.perf_counter()
    call()
    return loopback_bytes(process) - before, time.perf_counter() - start
