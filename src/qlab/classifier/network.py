"""What training over a network sends: counted on an interface, and calculated from the model.

Two worker processes of TensorFlow train data-parallel in a network namespace of their own, made
by `unshare` (util-linux); the counter of its loopback interface is read before and after a step.
Gradients are all-reduced as float32: a ring sends 2 (n - 1) / n times their bytes from each of n
workers (Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms"). Fake quantization
adds the ranges of activations, two numbers per quantizer, each in a message of its own.
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from subprocess import PIPE, Popen, run

import numpy as np
import psutil

from qlab.core.errors import QlabError

STEPS, WARMUP, BATCH = 6, 2, 8  # steps counted, steps before these, images per worker and step
NAMESPACE = ["unshare", "--net", "--map-root-user"]
# The interface of a new namespace is down: SIOCSIFFLAGS, IFF_UP of netdevice(7).
UP = """import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh22x", b"lo", 1))"""
ADDRESSES = ["127.0.0.1:40001", "127.0.0.1:40002"]  # free: the namespace is new


def possible() -> bool:
    """Whether this machine lets its user make a network namespace."""
    return bool(which("unshare")) and not run([*NAMESPACE, "true"], capture_output=True).returncode


def measure(
    model: Path, chosen: Sequence[Sequence[str]], leave_float: Sequence[str] = (), progress=iter
) -> list[dict]:
    """What a few training steps send, summed over both workers, for each choice of 8-bit layers.

    `step_bytes` are counted at each step, with TCP and IP headers; `step_analytic_bytes` follow the
    ring's formula, 2 (n - 1) times gradients and ranges; `gradient_bytes` are one worker's float32
    gradients; `messages` is the number of all-reduces per step. QlabError: a worker failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = {"model": str(model), "chosen": chosen, "leave_float": leave_float}
        # If this is interrupted, the worker ends when it next prints.
        with _worker(0, json.dumps(told), folder) as first:
            pairs = zip(progress(chosen), first.stdout, strict=False)
            found = [json.loads(line) for _, line in pairs]
        if first.returncode != 0:
            logs = [log.read_text(errors="replace").strip() for log in Path(folder).glob("*.log")]
            last = "; ".join(log.split("\n")[-1] for log in logs)
            raise QlabError(f"Training on two workers failed. Their logs end: {last}")
        return found


def _worker(index: int, told: str, folder: str) -> Popen:
    """Start a worker; the first makes the namespace and starts the second in it."""
    call = [sys.executable, "-m", "qlab.classifier.network", str(index), told, folder]
    if index == 0:
        call = [*NAMESPACE, "sh", "-c", '"$1" -c "$0" && exec "$@"', UP, *call]
    place = {"cluster": {"worker": ADDRESSES}, "task": {"type": "worker", "index": index}}
    more = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), "")  # not for 127.0.0.1
    more |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CONFIG": json.dumps(place)}
    with Path(folder, f"{index}.log").open("wb") as log:
        return Popen(call, stdin=PIPE, stdout=PIPE, stderr=log, env=os.environ | more)


def _work(index: int, told: str, folder: str) -> None:
    """Train each choice in step with the other worker; the first counts bytes and prints them."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes to the log
    other = _worker(1, told, folder) if index == 0 else None
    of_namespace = {"pernic": True, "nowrap": False}
    for train, found in _trainings(**json.loads(told), seed=index):
        counted = []
        for _ in range(WARMUP + STEPS):  # neither starts a step before both have ended the last
            before = psutil.net_io_counters(**of_namespace)["lo"].bytes_sent
            if other:
                other.stdin.write(b"go\n")
                other.stdin.flush()
            elif not sys.stdin.readline():
                sys.exit("the first worker is gone")
            train()
            other.stdout.readline() if other else print("done", file=out)
            counted.append(psutil.net_io_counters(**of_namespace)["lo"].bytes_sent - before)
        if other:
            print(json.dumps({"step_bytes": counted[WARMUP:]} | found), file=out)


def _trainings(model: str, chosen: list, leave_float: list, seed: int):
    """Yield, for each choice, its training step and what is calculated for it."""
    from qlab.classifier import partial_qat
    from qlab.classifier.model import keras, load
    from qlab.tflite.tf import tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    ring = tf.distribute.experimental.CommunicationImplementation.RING
    options = tf.distribute.experimental.CommunicationOptions(implementation=ring)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    given, rng = load(model), np.random.default_rng(seed)
    images = rng.integers(0, 256, (BATCH, *given.input_shape[1:])).astype(np.float32)
    batch = tf.constant(images), tf.constant(rng.integers(0, given.output_shape[1], BATCH))
    for layers in chosen:
        # Variables made in the scope are sent to the other worker: wrap outside, mirror the result.
        local = partial_qat.quantized(given, layers, 8, leave_float)
        with partial_qat.qat.quantize_scope(), strategy.scope():
            made = keras.models.clone_model(local)
            made.set_weights(local.get_weights())
            optimizer = keras.optimizers.Adam(1e-4, jit_compile=False)
            optimizer.build(made.trainable_variables)

        def step(images, labels, model=made, optimizer=optimizer):
            with tf.GradientTape() as tape:
                found = model(images, training=True)
                loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, found))
            optimizer.minimize(loss, model.trainable_variables, tape)

        train = tf.function(lambda s=step: strategy.run(s, args=batch))
        nodes = train.get_concrete_function().graph.get_operations()
        sent = [op.inputs[0] for op in nodes if op.type.startswith("CollectiveReduce")]
        reduced = sum(t.shape.num_elements() * t.dtype.size for t in sent)
        gradients = 4 * sum(v.shape.num_elements() for v in made.trainable_variables)
        ring = {"step_analytic_bytes": 2 * (len(ADDRESSES) - 1) * reduced}
        yield train, ring | {"gradient_bytes": gradients, "messages": len(sent)}


if __name__ == "__main__":
    _work(int(sys.argv[1]), *sys.argv[2:])
