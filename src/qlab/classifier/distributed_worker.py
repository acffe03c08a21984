"""One worker of `qlab.classifier.distributed_training`: a process that does what it is told, step by step.

Commands come as JSON lines on stdin, an answer goes back for each. `TF_CONFIG` tells TensorFlow
which worker this is. When stdin ends, the launcher is gone, and so is the worker.
"""

import contextlib
import json
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from qlab.classifier import model as keras_classifier
from qlab.classifier import model_inputs
from qlab.core.errors import QlabError
from qlab.core.tf import tf

import tf_keras as keras  # isort: skip  (behind the imports that keep TensorFlow quiet)


class Worker:
    """The training of one model after the other in one cluster; methods are the commands."""

    def __init__(self) -> None:
        # RING is what CPUs get under AUTO too; said here, so that the analytic size is of it.
        ring = tf.distribute.experimental.CommunicationImplementation.RING
        options = tf.distribute.experimental.CommunicationOptions(implementation=ring)
        self.strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
        resolver = self.strategy.cluster_resolver
        self.index, self.workers = resolver.task_id, self.strategy.num_replicas_in_sync

    def configure(
        self,
        model: str,
        layers: list[str],
        bits: int,
        trained: list[str] | None,
        leave_float: list[str],
        data: str,
        batch: int,
        rate: float,
        seed: int,
    ) -> dict[str, Any]:
        """Build model, optimizer and training step; what it will send at each step."""
        keras.utils.set_random_seed(seed)
        with np.load(data) as arrays:
            parts = dict(arrays)
        self.labels, self.inputs = parts.pop("labels"), model_inputs.from_arrays(parts)
        self.batch, self.seed = batch, seed
        # Wrapping builds a model several times over, and each variable made in the scope is sent
        # to the others: so wrap outside, and mirror the result.
        local = _model(Path(model), layers, bits, leave_float)
        with self.strategy.scope():
            self.model = _mirrored(local)
            _freeze(self.model, trained)
            self.optimizer = keras.optimizers.Adam(rate, jit_compile=False)
            self.optimizer.build(self.model.trainable_variables)
        self.checkpoint = tf.train.Checkpoint(model=self.model, optimizer=self.optimizer)
        self.train = self._training_step()
        trained_parameters = sum(int(np.prod(v.shape)) for v in self.model.trainable_variables)
        return {"trained_parameters": trained_parameters, "reduced": self._reduced()}

    def _training_step(self):
        """The compiled step: local examples and labels in, this worker's mean loss out."""

        def step(inputs, labels):
            with tf.GradientTape() as tape:
                found = self.model(inputs, training=True)
                losses = keras.losses.sparse_categorical_crossentropy(labels, found)
                # The optimizer adds up the workers' gradients: a mean over all their examples.
                share = tf.reduce_mean(losses) / self.workers
            variables = self.model.trainable_variables
            gradients = tape.gradient(share, variables)
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return tf.reduce_mean(losses)

        shapes = tf.nest.map_structure(
            lambda values: tf.TensorSpec((self.batch, *values.shape[1:]), values.dtype),
            model_inputs.fed(model_inputs.rows(self.inputs, slice(1))),
        )
        signature = [shapes, tf.TensorSpec((self.batch,), tf.int64)]
        return tf.function(
            lambda inputs, labels: self.strategy.run(step, args=(inputs, labels)),
            input_signature=signature,
        )

    def _reduced(self) -> list[int]:
        """Bytes of each tensor that the step all-reduces, read off its graph."""
        graph = self.train.get_concrete_function().graph
        sent = [
            op.inputs[0] for op in graph.get_operations() if op.type.startswith("CollectiveReduce")
        ]
        return [int(np.prod(t.shape)) * t.dtype.size for t in sent]

    def step(self, number: int) -> dict[str, Any]:
        """Train on this worker's share of the examples of step `number`, counted from 1."""
        order = np.random.default_rng([self.seed, number])
        size = self.batch * self.workers
        chosen = order.choice(len(self.labels), size, replace=size > len(self.labels))
        own = chosen[self.index :: self.workers]
        inputs = model_inputs.fed(model_inputs.rows(self.inputs, own))
        loss = self.train(inputs, self.labels[own].astype(np.int64))
        return {"loss": float(loss)}

    def save(self, folder: str, scratch: str) -> dict[str, Any]:
        """Write a checkpoint: worker 0 into `folder`; reading averaged variables takes all."""
        place = folder if self.index == 0 else f"{scratch}/worker-{self.index}"
        step = self._step()
        manager = tf.train.CheckpointManager(self.checkpoint, place, max_to_keep=2)
        manager.save(checkpoint_number=step)
        return {"step": step}

    def restore(self, folder: str) -> dict[str, Any]:
        """Go back to the last checkpoint in `folder`, if there is one; the step it was made at."""
        if newest := tf.train.latest_checkpoint(folder):
            self.checkpoint.restore(newest).assert_existing_objects_matched()
        return {"step": self._step()}

    def weights(self, scratch: str) -> dict[str, Any]:
        """Write all weights of the model, as `model.get_weights()` orders them; worker 0's file."""
        arrays = self.model.get_weights()
        path = Path(scratch) / f"weights-{self.index}.npz"
        np.savez(path, *arrays)
        return {"path": str(path)}

    def _step(self) -> int:
        return int(self.optimizer.iterations.numpy())


def _model(file: Path, layers: list[str], bits: int, leave_float: list[str]) -> keras.Model:
    """The model of a file, with some layers fake-quantized."""
    model = keras_classifier.load(file)
    if not layers:
        return model
    from qlab.classifier import partial_qat  # and with it tfmot, which takes a second

    return partial_qat.quantized(model, layers, bits, leave_float)


def _mirrored(model: keras.Model) -> keras.Model:
    """A copy of a model in the strategy's scope; tfmot's own classes are made known to Keras."""
    configs = [type(x.quantize_config) for x in model.layers if hasattr(x, "quantize_config")]
    known = {kind.__name__: kind for kind in configs}
    with contextlib.ExitStack() as stack:
        if known:
            from tensorflow_model_optimization.quantization.keras import quantize_scope

            stack.enter_context(quantize_scope(known))
        copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def _freeze(model: keras.Model, trained: list[str] | None) -> None:
    """Let only the `trained` layers learn (None: all); a frozen normalization keeps its averages.

    QlabError for a name that no layer has.
    """
    if trained is None:
        return
    layers = {layer.name.removeprefix("quant_"): layer for layer in model.layers}
    if missing := [name for name in trained if name not in layers]:
        raise QlabError(
            f"There is no layer '{missing[0]}' to train in this model; it has {', '.join(layers)}."
        )
    for name, layer in layers.items():
        layer.trainable = name in trained


def _read_commands(commands: queue.Queue) -> None:
    for line in sys.stdin:
        commands.put(json.loads(line))
    # Perhaps in the middle of a collective that will never end: nothing gentler gets out of it.
    os._exit(1)


def main() -> None:
    """Answer commands until stdin ends. What libraries print goes to stderr, the log."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    commands: queue.Queue = queue.Queue()
    threading.Thread(target=_read_commands, args=(commands,), daemon=True).start()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    # While TensorFlow waits for the others no thread of Python's runs: a launcher that is gone
    # already has to be noticed before, even on a busy machine.
    time.sleep(0.5)
    worker = Worker()
    with contextlib.closing(answers):
        print(json.dumps({"workers": worker.workers}), file=answers)
        while True:
            command = commands.get()
            try:
                answer = getattr(worker, command.pop("do"))(**command)
            except QlabError as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
