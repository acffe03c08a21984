"""Fine-tuning a classifier step by step, and what a step costs beside the float model's."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from qlab.classifier import model_inputs
from qlab.classifier.labelled_examples import LabelledExamples
from qlab.core import quiet, stats, timing
from qlab.core.errors import QlabError
from qlab.core.stats import Estimate

with quiet.quiet():
    import tf_keras as keras

Step = tuple[Any, np.ndarray]  # a batch as the model takes it, labels int64 [batch]


class Settings(NamedTuple):
    """How long and how fast a model is fine-tuned."""

    epochs: int  # passes through the training images
    batch: int = 32  # images of a step
    rate: float = 5e-5  # of SGD with momentum 0.9; constant, so that any step may be the last

    def steps(self, examples: int) -> int:
        """Optimizer steps in all; what does not fill a batch is left out of its epoch."""
        return self.epochs * (examples // self.batch)


class Diverged(QlabError):
    """The loss stopped being a number."""

    def __init__(self, step: int) -> None:
        super().__init__(
            f"The loss was no finite number at step {step}; fine-tuning was stopped there. Try a "
            "smaller learning rate."
        )
        self.step = step


def compiled(model: keras.Model, settings: Settings) -> keras.Model:
    """The same model with optimizer and loss."""
    optimizer = keras.optimizers.SGD(settings.rate, momentum=0.9)
    model.compile(optimizer, loss="sparse_categorical_crossentropy")
    return model


def batches(data: LabelledExamples, settings: Settings, seed: int) -> Iterator[Step]:
    """What each step learns from; shuffled anew every epoch."""
    rng = np.random.default_rng(seed)
    for _ in range(settings.epochs):
        order = rng.permutation(len(data))
        for start in range(0, len(data) - settings.batch + 1, settings.batch):
            some = order[start : start + settings.batch]
            yield model_inputs.fed(model_inputs.rows(data.inputs, some)), data.labels[some]


def run(model: keras.Model, steps: Iterator[Step], done: int = 0) -> np.ndarray:
    """Take steps with a compiled model; returns the seconds of each.

    `done` counts those taken before, for Diverged, which is raised when the loss is not finite.
    """
    seconds = []
    for step, (inputs, labels) in enumerate(steps, done + 1):
        start = time.perf_counter()
        loss = model.train_on_batch(inputs, labels)
        seconds.append(time.perf_counter() - start)
        if not np.isfinite(loss):
            raise Diverged(step)
    return np.array(seconds)


class StepTimes(NamedTuple):
    """A model's training step beside the float twin's, taken in turn."""

    seconds: Estimate  # median
    ratio: Estimate  # median over rounds of its time by the twin's


def step_times(model: keras.Model, twin: keras.Model, step: Step, repeats: int) -> StepTimes:
    """Time both compiled models' step on the same batch; neither is changed.

    The learning rate is 0 meanwhile, which also leaves the momentum at 0, and what else a step
    moves (batch statistics, ranges) is put back.
    """
    with _frozen(model), _frozen(twin):
        calls = {
            "model": lambda: model.train_on_batch(*step),
            "twin": lambda: twin.train_on_batch(*step),
        }
        times = timing.interleaved(calls, repeats)
    ratio = stats.median(times["model"] / times["twin"])
    return StepTimes(stats.median(times["model"]), ratio)


class _frozen:
    """A block in which a compiled model's steps change nothing that stays."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.weights = self.model.get_weights()
        self.rate = float(self.model.optimizer.learning_rate.numpy())
        self.model.optimizer.learning_rate.assign(0.0)

    def __exit__(self, *_) -> None:
        self.model.optimizer.learning_rate.assign(self.rate)
        self.model.set_weights(self.weights)
