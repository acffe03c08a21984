"""What training over a network sends: counted on an interface, and reckoned from the model.

Two worker processes of `tf.distribute.MultiWorkerMirroredStrategy` train data-parallel. They share
a network namespace that `unshare` (util-linux) makes, whose loopback interface carries nothing
else, and the interface's own counter is read before and after each step.

Per step, data-parallel training all-reduces the gradients of what is trained, as float32. The ring
algorithm sends 2 (n - 1) / n times their bytes from each of n workers (Patarasuk and Yuan 2009,
"Bandwidth optimal all-reduce algorithms"). Fake quantization adds the ranges of activations, whose
moving averages tfmot averages over the workers, two numbers a quantizer, each a message of its own.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qlab.core.errors import QlabError
from qlab.core.labelled_images import LabelledImages

STEPS, WARMUP = 6, 2  # counted, and taken before
BATCH = 8  # images of each worker at a step
NAMESPACE = ["unshare", "--net", "--map-root-user"]
# The interface of a new namespace is down: SIOCSIFFLAGS, IFF_UP of netdevice(7).
UP = """import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh22x", b"lo", 1))"""
ADDRESSES = ["127.0.0.1:40001", "127.0.0.1:40002"]  # free: the namespace is new


@dataclass(frozen=True)
class Configuration:
    """What is trained: a model with some layers fake-quantized to 8 bits, and some frozen."""

    layers: tuple[str, ...] = ()  # fake-quantized (`partial_qat.quantized`)
    trained: tuple[str, ...] | None = None  # the layers that are not frozen; None: all
    leave_float: tuple[str, ...] = ()  # never wrapped


class Traffic(NamedTuple):
    """Bytes that a configuration's training sends, over both workers."""

    step_bytes: list[int]  # counted on the interface at each step, headers of TCP and IP too
    analytic_bytes: int  # by the ring's formula, 2 (n - 1) times gradients and ranges
    gradient_bytes: int  # float32 gradients of one worker
    messages: int  # all-reduces at a step


def possible() -> bool:
    """Whether this machine lets its user make a network namespace."""
    with contextlib.suppress(OSError):
        return subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0
    return False


def loopback_bytes() -> int:
    """Bytes sent so far over this namespace's loopback interface, headers too (Linux)."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    fields = next(line for line in lines if line.strip().startswith("lo:")).split(":")[1].split()
    return int(fields[8])  # the first eight are of what was received


def measure(
    model: Path, configurations: list[Configuration], data: LabelledImages, progress=iter
) -> list[Traffic]:
    """Train each configuration on two workers for a few steps, and count what they send.

    QlabError where a worker fails, with what it said last.
    """
    with tempfile.TemporaryDirectory() as made:
        np.savez(Path(made, "data.npz"), images=data.images, labels=data.labels)
        told = {"model": str(model), "configurations": [asdict(c) for c in configurations]}
        Path(made, "told.json").write_text(json.dumps(told))
        with (first := _worker(0, made)):
            pairs = zip(progress(configurations), first.stdout, strict=False)
            found = [Traffic(*json.loads(line)) for _, line in pairs]
        if first.returncode != 0:
            logs = [log.read_text(errors="replace").split("\n") for log in Path(made).glob("*.log")]
            last = "; ".join(line for log in logs for line in [x for x in log if x.strip()][-1:])
            raise QlabError(f"Training on two workers failed. Their logs end: {last}")
        return found


def _worker(index: int, folder: str) -> subprocess.Popen:
    """Start a worker: the first makes the namespace, and starts the second in it."""
    call = [sys.executable, "-m", "qlab.classifier.network", str(index), folder]
    if index == 0:
        call = [*NAMESPACE, "sh", "-c", '"$1" -c "$0" && exec "$@"', UP, *call]
    place = {"cluster": {"worker": ADDRESSES}, "task": {"type": "worker", "index": index}}
    more = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CONFIG": json.dumps(place)}
    more |= dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), "")  # not for 127.0.0.1
    pipe = subprocess.PIPE
    with Path(folder, f"{index}.log").open("wb") as log:
        return subprocess.Popen(call, stdin=pipe, stdout=pipe, stderr=log, env=os.environ | more)


def _work(index: int, folder: str) -> None:
    """Train all configurations in step with the other worker; the first counts and tells."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes to the log
    other = _worker(1, folder) if index == 0 else None
    from qlab.classifier import partial_qat
    from qlab.classifier.model import keras, load, tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    ring = tf.distribute.experimental.CommunicationImplementation.RING
    options = tf.distribute.experimental.CommunicationOptions(implementation=ring)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    told = json.loads(Path(folder, "told.json").read_text())
    with np.load(Path(folder, "data.npz")) as data:
        own = (np.arange(BATCH) + index * BATCH) % len(data["labels"])
        batch = data["images"][own].astype(np.float32), data["labels"][own]
    for c in told["configurations"]:
        # Each variable made in the scope is sent to the other: so wrap outside, mirror the result.
        local = partial_qat.quantized(load(told["model"]), c["layers"], 8, c["leave_float"])
        configs = [type(x.quantize_config) for x in local.layers if hasattr(x, "quantize_config")]
        known = partial_qat.qat.quantize_scope({kind.__name__: kind for kind in configs})
        with known, strategy.scope():
            model = keras.models.clone_model(local)
            for layer in model.layers if c["trained"] is not None else ():
                layer.trainable = partial_qat.inner(layer).name in c["trained"]
            optimizer = keras.optimizers.Adam(1e-4, jit_compile=False)
            optimizer.build(model.trainable_variables)
        model.set_weights(local.get_weights())

        def step(images, labels, model=model, optimizer=optimizer):
            with tf.GradientTape() as tape:
                found = model(images, training=True)
                losses = keras.losses.sparse_categorical_crossentropy(labels, found)
                loss = tf.reduce_mean(losses) / len(ADDRESSES)  # the optimizer adds up
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

        signature = [tf.TensorSpec(x.shape, x.dtype) for x in batch]
        train = tf.function(lambda *b, s=step: strategy.run(s, args=b), input_signature=signature)
        operations = train.get_concrete_function().graph.get_operations()
        sent = [op.inputs[0] for op in operations if op.type.startswith("CollectiveReduce")]
        sizes = [int(np.prod(t.shape)) * t.dtype.size for t in sent]
        counted = []
        for _ in range(WARMUP + STEPS):  # neither starts a step before both have ended the last
            if index == 1:
                sys.stdin.readline()
                train(*batch)
                print("done", file=out)
                continue
            before = loopback_bytes()
            other.stdin.write(b"go\n")
            other.stdin.flush()
            train(*batch)
            other.stdout.readline()
            counted.append(loopback_bytes() - before)
        gradients = sum(4 * int(np.prod(v.shape)) for v in model.trainable_variables)
        reduced = 2 * (len(ADDRESSES) - 1) * sum(sizes)
        if index == 0:
            print(json.dumps([counted[WARMUP:], reduced, gradients, len(sizes)]), file=out)


if __name__ == "__main__":
    _work(int(sys.argv[1]), sys.argv[2])
