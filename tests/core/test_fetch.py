"""Downloads against a real local HTTP server: hash, unpacking, refusal, no network, no room."""

import functools
import hashlib
import http.server
import io
import socket
import tarfile
import threading
import time
import zipfile
from types import SimpleNamespace

import pytest

from qlab.core import disk, fetch, network, paths
from qlab.core.errors import QlabError

NO_HASH = "sha256:" + "0" * 64


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder served on loopback: (folder, address)."""
    monkeypatch.setenv("QLAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CI", "1")
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


def sha256(path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def zipped(folder, **members):
    with zipfile.ZipFile(folder / "data.zip", "w") as made:
        for name, text in members.items():
            made.writestr(name, text)
    return folder / "data.zip"


def tar(folder, name):
    with tarfile.open(folder / "data.tar.gz", "w:gz") as made:
        made.addfile(tarfile.TarInfo(name), io.BytesIO())
    return folder / "data.tar.gz"


def test_a_zip_is_fetched_checked_unpacked_and_kept(server):
    folder, address = server
    file = zipped(folder, **{"annotations/a": "{}", "b": "2"})
    with pytest.raises(QlabError, match="does not match the known hash: expected sha256:0000"):
        fetch.fetch(f"{address}/data.zip", NO_HASH)
    assert not list((paths.build() / "downloads").glob("*zip*"))
    first = fetch.fetch(f"{address}/data.zip", sha256(file), unpack=True)
    assert (first / "annotations" / "a").read_text() == "{}"
    file.unlink()  # a second call needs no server
    kept = paths.build() / "downloads" / "data.zip"
    assert fetch.fetch(f"{address}/data.zip", sha256(kept), unpack=True) == first


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("climbs", ["../../escaped", "{there}/escaped"])
def test_no_member_leaves_the_folder(server, tmp_path, kind, climbs):
    folder, address = server
    name = climbs.format(there=tmp_path)
    file = tar(folder, name) if kind == "tar.gz" else zipped(folder, **{name: "x"})
    try:
        found = fetch.fetch(f"{address}/data.{kind}", sha256(file), unpack=True)
    except tarfile.OutsideDestinationError:
        found = tmp_path / "nowhere"
        assert not list((paths.build() / "downloads").glob("*.unpacked"))
    assert [p for p in tmp_path.rglob("escaped") if not p.is_relative_to(found)] == []


def test_no_network_says_what_to_do(server, tmp_path, monkeypatch):
    _, address = server
    for url in (f"{address}/missing.zip", "http://127.0.0.1:9/none.zip"):
        with pytest.raises(QlabError, match=r"could not be downloaded \(.*\); give local paths"):
            fetch.fetch(url, NO_HASH)
    monkeypatch.setattr(network, "reachable", lambda _: False)
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("QLAB_KAGGLE", str(tmp_path))
    with pytest.raises(QlabError, match="; attach the dataset awsaf49/coco.*internet on"):
        fetch.fetch(fetch.COCO_VAL[0], "md5:00", unpack=True)


def test_what_has_no_room_is_not_begun(server, monkeypatch):
    folder, address = server
    file = zipped(folder, a="1" * 5000)
    monkeypatch.setattr(
        disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=file.stat().st_size * 1.5)
    )
    with pytest.raises(QlabError, match="Downloading data.zip will take about .*local paths"):
        fetch.fetch(f"{address}/data.zip", sha256(file), unpack=True)
    assert not (paths.build() / "downloads").exists()


def test_the_disk_decides_and_what_kaggle_keeps_has_a_limit_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=30 * 10**9))
    assert disk.free(paths.build() / "not" / "there" / "yet") == 30 * 10**9
    disk.refuse(28 * 10**9, "It", "Take less")
    with pytest.raises(QlabError, match="It will take about 29.0 GB in .*, where 30.0 GB can be"):
        disk.refuse(29 * 10**9, "It", "Take less")
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("QLAB_KAGGLE", str(tmp_path))
    home = tmp_path / "working" / "qlab"
    home.mkdir(parents=True)
    (home / "made").write_bytes(bytes(3000))
    assert disk.free(home / "build") == disk.KAGGLE_LIMIT - 3000
    assert disk.free(tmp_path / "temp") == 30 * 10**9


def test_any_answer_counts_even_a_refusal_and_silence_is_not_waited_for(monkeypatch):
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert network.reachable(f"http://127.0.0.1:{server.server_port}")  # 501
        server.shutdown()
    monkeypatch.setattr(network, "PATIENCE", 0.3)
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not network.reachable(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert time.monotonic() - started < 5
