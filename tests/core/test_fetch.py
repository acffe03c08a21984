"""Downloads against a real local HTTP server: hash, unpacking, refusal, no network."""

import functools
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile

import pytest

from qlab.core import fetch, paths
from qlab.core.errors import QlabError


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


def archive(folder, **members):
    with zipfile.ZipFile(folder / "data.zip", "w") as made:
        for name, text in members.items():
            made.writestr(name.replace("__", "/"), text)
    return folder / "data.zip"


def test_a_zip_is_fetched_checked_unpacked_and_kept(server):
    folder, address = server
    file = archive(folder, annotations__a="{}", b="2")
    first = fetch.fetch(f"{address}/data.zip", sha256(file), unpack=True)
    assert (first / "annotations" / "a").read_text() == "{}"
    file.unlink()  # a second call needs no server
    with pytest.raises(FileNotFoundError):
        file.read_bytes()
    kept = paths.build() / "downloads" / "data.zip"
    assert fetch.fetch(f"{address}/data.zip", sha256(kept), unpack=True) == first


def test_another_hash_is_refused_and_leaves_no_file(server):
    folder, address = server
    archive(folder, a="1")
    with pytest.raises(QlabError, match="came with another hash than the known sha256:0000"):
        fetch.fetch(f"{address}/data.zip", "sha256:" + "0" * 64)
    assert not list((paths.build() / "downloads").glob("*zip*"))


def test_a_member_that_climbs_out_stays_inside(server, tmp_path):
    folder, address = server
    with zipfile.ZipFile(folder / "data.zip", "w") as made:
        made.writestr("../../escaped", "x")
    fetch.fetch(f"{address}/data.zip", sha256(folder / "data.zip"), unpack=True)
    assert not list(tmp_path.glob("escaped")) and not list((tmp_path / "home").glob("escaped"))


def tar(folder, name, text="x"):
    member = tarfile.TarInfo(name)
    member.size = len(text)
    with tarfile.open(folder / "data.tar.gz", "w:gz") as made:
        made.addfile(member, io.BytesIO(text.encode()))
    return folder / "data.tar.gz"


def test_a_tar_gz_is_unpacked_too(server):
    folder, address = server
    file = tar(folder, "batches/one", "1")
    found = fetch.fetch(f"{address}/data.tar.gz", sha256(file), unpack=True)
    assert (found / "batches" / "one").read_text() == "1"


def test_a_tar_member_that_climbs_out_is_refused(server, tmp_path):
    folder, address = server
    file = tar(folder, "../../escaped")
    with pytest.raises(QlabError, match=r"data\.tar\.gz was not unpacked: .*outside"):
        fetch.fetch(f"{address}/data.tar.gz", sha256(file), unpack=True)
    assert not list(tmp_path.rglob("escaped"))
    assert not list((paths.build() / "downloads").glob("*.unpacked"))


def test_a_tar_member_with_an_absolute_name_stays_inside(server, tmp_path):
    folder, address = server
    file = tar(folder, str(tmp_path / "escaped"))
    found = fetch.fetch(f"{address}/data.tar.gz", sha256(file), unpack=True)
    assert [p.is_relative_to(found) for p in tmp_path.rglob("escaped")] == [True]


def test_no_network_says_what_to_do(server):
    _, address = server
    with pytest.raises(QlabError, match="could not be downloaded .* give local paths"):
        fetch.fetch(f"{address}/missing.zip", "sha256:" + "0" * 64)
    with pytest.raises(QlabError, match="could not be downloaded"):
        fetch.fetch("http://127.0.0.1:9/none.zip", "sha256:" + "0" * 64)


def test_coco_is_where_its_archives_unpack_to(monkeypatch, tmp_path):
    """The members' names are those of the published archives."""
    asked = []

    def fetched(url, known_hash, unpack):
        assert known_hash.startswith("md5:") and len(known_hash) == 36 and unpack
        asked.append(url.rsplit("/", 1)[-1])
        return tmp_path / asked[-1]

    monkeypatch.setattr(fetch, "fetch", fetched)
    annotations, images = fetch.coco_val2017()
    place = "annotations_trainval2017.zip/annotations/instances_val2017.json"
    assert annotations == tmp_path / place
    assert images == tmp_path / "val2017.zip" / "val2017"
