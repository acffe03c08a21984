"""A worker dies: it is said, nobody is left behind, and the training ends as if nothing was."""

import contextlib
import queue
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from tiny_training import tiny_images, tiny_model

from qlab.classifier import distributed_training, worker_cluster
from qlab.classifier.distributed_training import Configuration, train
from qlab.classifier.worker_cluster import Cluster, WorkerDied
from qlab.core.errors import QlabError


class Scripted:
    """A worker that gives the prepared answers, and has ended with `status` if that is not None."""

    def __init__(self, index: int, answers: list[dict], status: int | None = None) -> None:
        self.index, self.status = index, status
        self.waiting: queue.Queue = queue.Queue()
        for answer in answers:
            self.waiting.put(answer)

    def tell(self, command: dict) -> None:
        self.told = command

    def answer(self) -> dict | None:
        return None if self.waiting.empty() else self.waiting.get()

    def ended(self) -> int | None:
        return self.status

    def last_words(self) -> str:
        return "Its log ends: Unavailable."


def asked(*workers: Scripted, do: str = "step", doing: str = "at step 3 of 9") -> list[dict]:
    return Cluster(list(workers), False, patience=0.05).ask(do, doing)


def test_answers_come_in_the_order_of_workers():
    assert asked(Scripted(0, [{"loss": 1}]), Scripted(1, [{"loss": 2}])) == [
        {"loss": 1},
        {"loss": 2},
    ]


def test_the_killed_worker_is_named_not_the_one_that_failed_of_it():
    with pytest.raises(WorkerDied, match="Worker 1 of 2 was killed by signal 9 at step 3 of 9.$"):
        asked(Scripted(0, [], status=1), Scripted(1, [], status=-9))
    with pytest.raises(WorkerDied, match="Worker 0 of 2 ended with status 1 .* ends: Unavailable"):
        asked(Scripted(0, [], status=1), Scripted(1, [{}]))


def test_a_worker_that_hangs_or_complains_is_told_of():
    with pytest.raises(QlabError, match="Worker 1 of 2 gave no answer .* at step 3 of 9"):
        asked(Scripted(0, [{}]), Scripted(1, []))
    with pytest.raises(QlabError, match="^no such layer$"):
        asked(Scripted(0, [{"error": "no such layer"}]), Scripted(1, []))


def test_a_loss_that_is_not_finite_stops_the_training():
    workers = Cluster([Scripted(0, [{"loss": float("nan")}])], False, 1)
    with pytest.raises(QlabError, match="loss at step 3 of 9 is nan; lower the learning rate"):
        distributed_training.take_step(workers, 3, 9)


def test_free_ports_differ():
    assert len(set(worker_cluster._free_ports(4))) == 4


def test_after_the_last_restart_the_death_is_raised(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def dying(*arguments, **more):
        raise WorkerDied("Worker 1 of 2 was killed by signal 9 while it started.")
        yield

    monkeypatch.setattr(distributed_training, "cluster", dying)
    file = tmp_path / "model.h5"
    file.write_bytes(b"weights")
    with (
        pytest.warns(UserWarning, match="There is no checkpoint yet. Both start again"),
        pytest.raises(WorkerDied, match="signal 9 while it started. .* Run again to go on"),
    ):
        train(file, Configuration("float"), tiny_images(), 3, tmp_path / "run", restarts=1)
    with pytest.raises(QlabError, match="holds the checkpoints of another training"):
        train(file, Configuration("4 bit", bits=4), tiny_images(), 3, tmp_path / "run")


def test_a_worker_leaves_when_its_launcher_is_gone(tmp_path):
    environment = worker_cluster._environment(["127.0.0.1:1", "127.0.0.1:2"], 0)
    worker = subprocess.Popen(
        [sys.executable, "-m", "qlab.classifier.distributed_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    worker.stdin.close()  # as when the launcher is killed: it then waits for worker 1 no longer
    assert worker.wait(60) == 1


@pytest.mark.slow
def test_a_killed_worker_is_told_of_and_the_training_ends_as_one_without_it(tmp_path):
    file, configuration = tiny_model(tmp_path), Configuration("float")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = train(file, configuration, tiny_images(), 5, tmp_path / "whole")
    assert whole.lost == [] and list(whole.losses) == [1, 2, 3, 4, 5]
    with pytest.warns(UserWarning, match="Worker 1 of 2 was killed by signal 9 at step 4 of 5"):
        broken = train(file, configuration, tiny_images(), 5, tmp_path / "broken", kill_at=4)
    assert "last checkpoint is of step 2. Both start again from there" in broken.lost[0]
    assert broken.resumed_at == [0, 2]
    assert distributed_training.last_checkpoint(tmp_path / "broken") == 5
    assert list(broken.losses) == [1, 2, 3, 4, 5]
    for a, b in zip(whole.weights, broken.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert _moved(file, whole.weights) > 1e-4  # it did train


def _moved(file: Path, weights: list[np.ndarray]) -> float:
    from qlab.classifier import model

    start = model.load(file).get_weights()
    return max(float(np.abs(a - b).max()) for a, b in zip(start, weights, strict=True))
