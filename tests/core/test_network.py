"""A server that answers, one that keeps silent, none at all."""

import http.server
import socket
import threading
import time

import pytest

from qlab.core import fetch, network
from qlab.core.errors import QlabError


def test_any_answer_counts_even_a_refusal():
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert network.reachable(f"http://127.0.0.1:{server.server_port}")  # 501
        server.shutdown()


@pytest.fixture
def silent(monkeypatch):
    """The address of who takes a connection and never answers; nobody waits long for him."""
    monkeypatch.setattr(network, "PATIENCE", 0.3)
    monkeypatch.setattr(network, "_answered", set())  # by another test, on the same port
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/data.zip"


def test_silence_is_not_waited_for(silent):
    started = time.monotonic()
    assert not network.reachable(silent)
    assert time.monotonic() - started < 5


def test_a_name_that_nobody_looks_up_is_not_waited_for_either(monkeypatch):
    enough = threading.Event()

    def look_up(*_, **__):
        enough.wait(60)
        raise socket.gaierror

    monkeypatch.setattr(network, "PATIENCE", 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    started = time.monotonic()
    assert not network.reachable("http://some.where")
    assert time.monotonic() - started < 5
    enough.set()


def test_who_did_not_answer_is_asked_again(silent, monkeypatch):
    assert not network.reachable(silent)
    monkeypatch.setattr(network, "_answered", {silent})
    assert network.reachable(silent)


@pytest.mark.parametrize(
    "url, attach",
    [
        (fetch.COCO_VAL[0], "awsaf49/coco-2017-dataset"),
        (fetch.CIFAR10[0], "pankrzysiu/cifar10-python"),
        ("http://some.where/pretrainedResnet.h5", "a dataset with pretrainedResnet.h5"),
    ],
)
def test_on_kaggle_a_download_names_what_to_attach(home, tmp_path, monkeypatch, url, attach):
    monkeypatch.setattr(network, "reachable", lambda _: False)
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("QLAB_KAGGLE", str(tmp_path))
    with pytest.raises(
        QlabError, match=f"no answer.*; attach (the dataset )?{attach}.*internet on"
    ):
        fetch.fetch(url, "md5:00", unpack=True)


@pytest.mark.parametrize("value, off", [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_hubs_own_switch(monkeypatch, value, off):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert network.hub_offline() is off
