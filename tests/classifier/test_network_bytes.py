"""Counted bytes are those that were sent; two real workers send what the formula says."""

import subprocess
import sys

import pytest
from tiny_training import tiny_images, tiny_model

from qlab.classifier import network_bytes, network_namespace
from qlab.classifier.distributed_training import Configuration
from qlab.core.errors import QlabError

SEND = """
import socket
from qlab.classifier.network_namespace import loopback_bytes
before = loopback_bytes()
listener = socket.create_server(("127.0.0.1", 0))
sender = socket.create_connection(listener.getsockname())
receiver, _ = listener.accept()
sender.sendall(bytes(200_000)); sender.close()
while receiver.recv(1 << 20): pass
print(before, loopback_bytes() - before)
"""


def test_a_ring_sends_twice_the_bytes_but_one_share():
    assert network_bytes.all_reduce_bytes(100) == 200  # 100 from each of two
    for workers in (2, 3, 8):
        each = network_bytes.all_reduce_bytes(1000, workers) / workers
        assert each == 2 * (workers - 1) / workers * 1000


def test_a_namespace_of_its_own_counts_what_is_sent_in_it_and_nothing_else():
    with network_namespace.entered() as enter:
        if enter is None:
            pytest.skip("this machine lets nobody make a network namespace")
        command = [*enter, sys.executable, "-c", SEND]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        inside = network_namespace.loopback_bytes(int(enter[-1]))
    before, sent = map(int, done.stdout.split())
    assert before == 0
    assert 200_000 < sent < 210_000
    assert inside >= sent  # read from outside, by a process that is in it


def test_without_the_tools_there_is_no_namespace(monkeypatch):
    monkeypatch.setattr(network_namespace.shutil, "which", lambda name: None)
    with network_namespace.entered() as enter:
        assert enter is None


def test_where_there_is_no_counter_it_is_said(monkeypatch):
    monkeypatch.setattr(network_namespace, "Path", lambda name: __import__("pathlib").Path("/no"))
    with pytest.raises(QlabError, match="only the analytic sizes are to be had"):
        network_namespace.loopback_bytes()


@pytest.mark.slow
def test_two_workers_send_the_gradients_of_what_is_trained(tmp_path):
    """A float model; only its last layer trained; the same, fake-quantized."""
    configurations = [
        Configuration("float"),
        Configuration("frozen", trained=("dense",)),
        Configuration("quantized", layers=("dense",), trained=("dense",)),
    ]
    every, last, wrapped = network_bytes.measure(
        tiny_model(tmp_path), configurations, tiny_images(), steps=3, warmup=1
    )
    dense = 4 * (32 * 32 * 8 * 4 + 4)
    assert last.gradient_bytes == wrapped.gradient_bytes == dense
    assert every.gradient_bytes == dense + 4 * (3 * 3 * 3 * 8 + 2 * 8)
    assert (every.messages, last.messages) == (1, 1)
    assert every.range_bytes == last.range_bytes == 0
    # Each quantizer of activations: minimum and maximum, a message of one float32 each.
    assert wrapped.messages > 1
    assert wrapped.range_bytes == 4 * (wrapped.messages - 1)
    for traffic in (every, last, wrapped):
        assert traffic.analytic_bytes == 2 * (traffic.gradient_bytes + traffic.range_bytes)
        if traffic.own_network:
            assert len(traffic.step_bytes) == 3
            assert 0 < traffic.overhead < 0.1
