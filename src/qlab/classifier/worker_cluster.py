"""Worker processes on this machine that form one TensorFlow cluster, started, asked and watched.

The workers do every step at the launcher's word, over pipes, so that it knows at which step one
was lost and can count the bytes of a step. They run on the CPU and send by gRPC over the loopback
interface, in a network namespace of their own where there may be one.
"""

import contextlib
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from qlab.classifier import network_namespace
from qlab.core.errors import QlabError

PATIENCE = 180.0  # seconds for an answer; the longest is that to `configure`


class WorkerDied(QlabError):
    """A worker process ended while it was needed."""


class Cluster:
    """Workers that are up. `private`: their loopback interface carries nothing else."""

    def __init__(self, workers: list["_Process"], private: bool, patience: float) -> None:
        self.workers, self.private, self.patience = workers, private, patience

    def ask(self, do: str, doing: str = "", **command: Any) -> list[dict[str, Any]]:
        """Give all workers a command and wait for their answers.

        `doing` is for the sentence if it fails. WorkerDied: one ended; QlabError: one said so, or
        none came in time.
        """
        for worker in self.workers:
            worker.tell({"do": do} | command)
        return self.answers(doing or f"at the command '{do}'")

    def answers(self, doing: str) -> list[dict[str, Any]]:
        """The next answer of each worker."""
        end = time.monotonic() + self.patience
        answers: dict[int, dict[str, Any]] = {}
        while len(answers) < len(self.workers):
            for worker in self.workers:
                if worker.index not in answers and (answer := worker.answer()) is not None:
                    answers[worker.index] = answer
            self._check(answers, doing, end)
        return [answers[worker.index] for worker in self.workers]

    def _check(self, answers: dict[int, dict[str, Any]], doing: str, end: float) -> None:
        for answer in answers.values():
            if "error" in answer:
                raise QlabError(answer["error"])
        missing = [w for w in self.workers if w.index not in answers]
        if any(w.ended() is not None for w in missing):
            raise WorkerDied(_who_died(self.workers, doing))
        if missing and time.monotonic() > end:
            late = " and ".join(str(w.index) for w in missing)
            raise QlabError(
                f"Worker {late} of {len(self.workers)} gave no answer for {self.patience:.0f} s "
                f"{doing}; is the machine overloaded? {missing[0].last_words()}"
            )


class _Process:
    """A worker process, its log and its answers."""

    def __init__(self, index: int, command: list[str], environment: dict, log: Path) -> None:
        self.index, self.log = index, log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=environment,
            )
        self._answers: queue.Queue = queue.Queue()
        threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True).start()

    def _listen(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                if line.endswith("\n"):  # otherwise it was killed in the middle of a word
                    self._answers.put(json.loads(line))

    def tell(self, command: dict[str, Any]) -> None:
        # A worker that is gone is noticed, and told of, where its answer is missing.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()

    def answer(self) -> dict[str, Any] | None:
        """The next answer, or None if there is none yet."""
        try:
            return self._answers.get(timeout=0.01)
        except queue.Empty:
            return None

    def ended(self) -> int | None:
        """The exit status (negative: the signal that killed it), or None while it runs."""
        return self.process.poll()

    def last_words(self) -> str:
        lines = [x for x in self.log.read_text(errors="replace").splitlines() if x.strip()]
        return f"Its log ends: {lines[-1].strip()}" if lines else "Its log is empty."

    def kill(self) -> None:
        self.process.kill()

    def close(self) -> None:
        self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


def _who_died(workers: list[_Process], doing: str) -> str:
    """A sentence on the worker that ended first.

    When one is killed, the other's collective fails, and both may be gone when we look.
    """
    ended = [w for w in workers if w.ended() is not None]
    first = min(ended, key=lambda w: w.ended())  # killed by a signal: less than 0
    code = first.ended()
    how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
    words = "" if code < 0 else f" {first.last_words()}"
    return f"Worker {first.index} of {len(workers)} {how} {doing}.{words}"


@contextlib.contextmanager
def cluster(
    logs: Path, workers: int = 2, own_network: bool = True, patience: float = PATIENCE
) -> Iterator[Cluster]:
    """Start workers and end them all with the block, or with this process, whatever happens.

    `logs` is a folder that gets a `worker-N.log` each. Where `own_network` cannot be, they use
    this machine's own loopback interface.
    """
    logs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context(network_namespace.entered()) if own_network else None
        started = []
        stack.callback(lambda: [process.close() for process in started])
        addresses = [f"127.0.0.1:{port}" for port in _free_ports(workers)]
        for index in range(workers):
            command = [*(enter or []), sys.executable, "-m", "qlab.classifier.distributed_worker"]
            log = logs / f"worker-{index}.log"
            started.append(_Process(index, command, _environment(addresses, index), log))
        up = Cluster(started, enter is not None, patience)
        up.answers("while it started")
        yield up


def _free_ports(count: int) -> list[int]:
    """Ports free just now; in a namespace of its own nobody can take them in between."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]


def _environment(addresses: list[str], index: int) -> dict[str, str]:
    place = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    hidden = {"CUDA_VISIBLE_DEVICES": "-1", "TF_USE_LEGACY_KERAS": "1"}
    # A proxy would be asked for 127.0.0.1 too, from within a namespace where it is not.
    proxies = {name: "" for name in ("http_proxy", "https_proxy", "grpc_proxy")}
    return os.environ | hidden | proxies | {"TF_CONFIG": json.dumps(place)}
