"""Data-parallel training by two worker processes on this machine, one of which may die.

`tf.distribute.MultiWorkerMirroredStrategy`: each worker (`qlab.classifier.distributed_worker`) has the whole
model and its share of every batch, and the gradients are added up over the network.
"""

import contextlib
import itertools
import json
import math
import tempfile
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qlab.classifier import model_inputs
from qlab.classifier.worker_cluster import Cluster, WorkerDied, cluster
from qlab.core import cache
from qlab.core.errors import QlabError

if TYPE_CHECKING:
    from qlab.classifier.labelled_examples import LabelledExamples

RECIPE = "recipe.json"  # what a checkpoint was made with


@dataclass(frozen=True)
class Configuration:
    """What is trained: a Keras 2 model with some layers fake-quantized and some frozen."""

    name: str  # its name in the records
    layers: tuple[str, ...] = ()  # fake-quantized (`partial_qat.quantized`)
    bits: int = 8  # of their weights
    trained: tuple[str, ...] | None = None  # the layers that are not frozen; None: all
    leave_float: tuple[str, ...] = ()  # never wrapped


class Settings(NamedTuple):
    """How it is trained."""

    batch: int = 8  # examples of each worker at a step
    rate: float = 1e-4  # Adam's learning rate
    seed: int = 0  # of the order of the images


class Training(NamedTuple):
    """What `train` returns."""

    weights: list[np.ndarray]  # in the order of the wrapped model's `get_weights()`
    losses: dict[int, float]  # mean over workers of each step trained in this run, by step
    lost: list[str]  # a sentence for each time that a worker died
    resumed_at: list[int]  # the step of the checkpoint that each start went on from; 0: none


def configure(
    workers: Cluster,
    model: Path,
    configuration: Configuration,
    examples: Path,
    settings: Settings,
) -> dict[str, Any]:
    """Let the workers build a configuration; `examples` is a file of `write_examples`."""
    command = asdict(configuration) | settings._asdict()
    name = command.pop("name")
    answer, *_ = workers.ask(
        "configure", f"while it built '{name}'", model=str(model), data=str(examples), **command
    )
    return answer


def write_examples(examples: "LabelledExamples", folder: Path) -> Path:
    """The examples and labels as a file that workers read."""
    path = folder / "examples.npz"
    np.savez(path, labels=examples.labels, **model_inputs.arrays(examples.inputs))
    return path


def take_step(workers: Cluster, number: int, steps: int) -> float:
    """Let the workers take step `number` of `steps`; the loss, which is finite or a QlabError."""
    answers = workers.ask("step", f"at step {number} of {steps}", number=number)
    loss = sum(answer["loss"] for answer in answers) / len(answers)
    if not math.isfinite(loss):
        raise QlabError(
            f"The loss at step {number} of {steps} is {loss}; lower the learning rate, and look "
            "at the examples and labels."
        )
    return loss


def train(
    model: Path,
    configuration: Configuration,
    examples: "LabelledExamples",
    steps: int,
    folder: Path,
    *,
    settings: Settings = Settings(),  # noqa: B008  (it cannot be changed)
    every: int = 2,
    restarts: int = 1,
    kill_at: int = 0,
    own_network: bool = True,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Training:
    """Train on two workers for `steps` steps, with a checkpoint in `folder` after each `every`.

    If a worker dies, a warning says which and at which step, and both start again from the last
    checkpoint, at most `restarts` times; then WorkerDied is raised. A later call with the same
    arguments goes on from the checkpoint too. `kill_at` kills worker 1 at that step, once, to see
    this happen. Batches depend on seed and step alone: a resumed run ends as an uninterrupted one.
    QlabError: a folder of another training, a loss that is not finite, a worker's own complaint.
    """
    _claim(folder, _recipe(model, configuration, examples, settings))
    done = Training([], {}, [], [])
    for attempt in itertools.count():
        try:
            with contextlib.ExitStack() as stack:
                scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                workers = stack.enter_context(cluster(folder, own_network=own_network))
                data = write_examples(examples, scratch)
                configure(workers, model, configuration, data, settings)
                fatal = kill_at if attempt == 0 else 0
                return _go_on(workers, done, steps, every, folder, scratch, fatal, progress)
        except WorkerDied as death:
            sentence = f"{death} {_checkpoint_words(folder)}"
            if attempt >= restarts:
                raise WorkerDied(f"{sentence} Run again to go on from there.") from death
            done.lost.append(f"{sentence} Both start again from there.")
            warnings.warn(done.lost[-1], stacklevel=2)
    raise AssertionError("unreachable")


def _go_on(
    workers: Cluster,
    done: Training,
    steps: int,
    every: int,
    folder: Path,
    scratch: Path,
    kill_at: int,
    progress: Callable[[Iterable], Iterable],
) -> Training:
    """Train from the last checkpoint to the last step."""
    place = {"folder": str(folder / "checkpoints")}
    before = workers.ask("restore", "while it read the checkpoint", **place)[0]["step"]
    done.resumed_at.append(before)
    for step in progress(range(before + 1, steps + 1)):
        if step == kill_at:
            workers.workers[1].kill()
        done.losses[step] = take_step(workers, step, steps)
        if step % every == 0 or step == steps:
            doing = f"while it wrote the checkpoint of step {step}"
            workers.ask("save", doing, scratch=str(scratch), **place)
    answers = workers.ask("weights", "while it wrote its weights", scratch=str(scratch))
    with np.load(answers[0]["path"]) as arrays:
        return done._replace(weights=[arrays[name] for name in arrays.files])


def _recipe(
    model: Path, configuration: Configuration, examples: "LabelledExamples", settings: Settings
) -> dict[str, Any]:
    """What a checkpoint must agree with; the number of steps may grow."""
    recipe = asdict(configuration) | settings._asdict()
    recipe |= {"model_sha256": cache.file_sha256(model), "images_sha256": examples.sha256}
    return json.loads(json.dumps(recipe))


def _claim(folder: Path, recipe: dict[str, Any]) -> None:
    """Note in the folder what is trained there; QlabError if it is something else."""
    path = folder / RECIPE
    if path.is_file() and json.loads(path.read_text()) != recipe:
        raise QlabError(
            f"{folder} holds the checkpoints of another training (its {RECIPE} differs); remove "
            "it or choose another folder."
        )
    with cache.written_whole(path) as part:
        part.write_text(json.dumps(recipe, indent=2) + "\n")


def _checkpoint_words(folder: Path) -> str:
    step = last_checkpoint(folder)
    return f"The last checkpoint is of step {step}." if step else "There is no checkpoint yet."


def last_checkpoint(folder: Path) -> int:
    """The step of the newest checkpoint of a training's folder, or 0."""
    names = (folder / "checkpoints").glob("ckpt-*.index")
    return max((int(path.stem.removeprefix("ckpt-")) for path in names), default=0)
