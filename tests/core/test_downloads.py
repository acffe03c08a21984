"""Downloads, hub models and LAMBADA, against servers on loopback: hash, refusal, no network."""

import functools
import hashlib
import http.server
import io
import json
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from types import SimpleNamespace

import huggingface_hub
import pytest

from qlab.core import disk, fetch, hub, paths
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError

NOWHERE = "http://127.0.0.1:9"
TOKEN = "hf_not_a_real_one"
SMALL = {"config.json", "tokenizer.json"}
WEIGHTS = {"model.safetensors.index.json", *(f"model-{i}-of-2.safetensors" for i in "12")}
OTHERS = {"pytorch_model.bin", "consolidated.safetensors", "evil.py"}


@contextmanager
def serving(handler):
    """The address at which a handler of requests answers on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder served on loopback: (folder, address)."""
    monkeypatch.setenv("QLAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CI", "1")
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with serving(handler) as address:
        yield folder, address


def packed(folder, kind: str, name: str):
    """An archive with one member."""
    if kind == "zip":
        with zipfile.ZipFile(folder / "data.zip", "w") as made:
            made.writestr(name, "x")
    else:
        with tarfile.open(folder / "data.tar.gz", "w:gz") as made:
            made.addfile(tarfile.TarInfo(name), io.BytesIO())
    return folder / f"data.{kind}"


def test_an_archive_is_fetched_checked_unpacked_and_kept(server):
    folder, address = server
    file = packed(folder, "zip", "annotations/a")
    with pytest.raises(QlabError, match="does not match the known hash: expected sha256:0000"):
        fetch.fetch(f"{address}/data.zip", "sha256:" + "0" * 64)
    assert not list((paths.build() / "downloads").glob("*zip*"))
    first = fetch.fetch(f"{address}/data.zip", f"sha256:{file_sha256(file)}", unpack=True)
    assert (first / "annotations" / "a").read_text() == "x"
    file.unlink()  # a second call needs no server
    assert fetch.fetch(f"{address}/data.zip", "sha256:0", unpack=True) == first
    for url in (f"{address}/missing.zip", f"{NOWHERE}/none.zip"):
        with pytest.raises(QlabError, match=r"could not be downloaded \(\w+\); give local paths"):
            fetch.fetch(url, None)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("climbs", ["../../escaped", "{there}/escaped"])
def test_no_member_leaves_the_folder(server, tmp_path, kind, climbs):
    folder, address = server
    file, found = packed(folder, kind, climbs.format(there=tmp_path)), tmp_path / "nowhere"
    try:
        found = fetch.fetch(f"{address}/data.{kind}", f"sha256:{file_sha256(file)}", unpack=True)
    except tarfile.OutsideDestinationError:
        assert not list((paths.build() / "downloads").glob("*.unpacked"))
    assert [p for p in tmp_path.rglob("escaped") if not p.is_relative_to(found)] == []


def test_the_detector_comes_as_published_or_from_a_folder(server, monkeypatch, tmp_path):
    folder, address = server
    monkeypatch.delenv("QLAB_DATA", raising=False)
    for name in fetch.CENTERNET_TFJS:
        (folder / name).write_text(name)
    monkeypatch.setattr(fetch, "CENTERNET_TFJS_FOLDER", f"{address}/")
    with pytest.raises(QlabError, match=r"centernet\.json could not .*expected sha256:bfb942ea"):
        fetch.centernet_mobilenetv3_512()
    own = {name: file_sha256(folder / name) for name in fetch.CENTERNET_TFJS}
    monkeypatch.setattr(fetch, "CENTERNET_TFJS", own)
    found = fetch.centernet_mobilenetv3_512()
    assert found.name == "centernet.json" and found.with_name("centernet.bin").is_file()
    monkeypatch.setattr(fetch, "CENTERNET_TFJS_FOLDER", f"{NOWHERE}/")
    assert fetch.centernet_mobilenetv3_512() == found
    monkeypatch.setenv("QLAB_DATA", str(tmp_path / "data"))
    for part in ("saved_model", "tfjs"):  # the published files, where both are there
        local = tmp_path / "data" / "detector" / "centernet_mobilenetv3_512_coco17" / part
        local.mkdir(parents=True)
        assert fetch.centernet_mobilenetv3_512() == local


def test_photos_that_calibrate_come_one_by_one_and_only_as_listed(server, monkeypatch, tmp_path):
    folder, address = server
    monkeypatch.setattr(fetch, "COCO_TRAIN_IMAGES", f"{address}/")
    local = tmp_path / "data" / "coco" / "train2017"
    local.mkdir(parents=True)
    monkeypatch.setenv("QLAB_DATA", str(tmp_path / "data"))
    wanted = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("1.jpg", "2.jpg")}
    (local / "1.jpg").write_text("as it is")
    (folder / "2.jpg").write_text("2.jpg")
    first, second = fetch.coco_train2017(wanted)
    assert first == local / "1.jpg" and second.read_text() == "2.jpg"
    (folder / "3.jpg").write_text("another")
    with pytest.raises(QlabError, match=r"3\.jpg could not .*known hash"):
        fetch.coco_train2017({"3.jpg": "0" * 64})


def test_the_disk_decides_and_what_kaggle_keeps_has_a_limit_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=30 * 10**9))
    assert disk.free(paths.build() / "not" / "there" / "yet") == 30 * 10**9
    disk.refuse(28 * 10**9, "It", "Take less")
    with pytest.raises(QlabError, match="It will take about 29.0GB in .*, where 30.0GB can be"):
        disk.refuse(29 * 10**9, "It", "Take less")
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("QLAB_KAGGLE", str(tmp_path))
    home = tmp_path / "working" / "qlab"
    home.mkdir(parents=True)
    (home / "made").write_bytes(bytes(3000))
    assert disk.free(home / "build") == disk.KAGGLE_LIMIT - 3000
    assert disk.free(tmp_path / "temp") == 30 * 10**9


class Hub(http.server.SimpleHTTPRequestHandler):
    """One model, `o/m`, with the files of a folder; `gated`: only for TOKEN."""

    gated, asked, folder = False, [], None

    def do_GET(self):
        self.asked.append(self.headers.get("Authorization"))
        if self.path.startswith("/api/models/o/m/revision/"):
            there = [*(f.name for f in self.folder.iterdir()), "original/model.safetensors"]
            files = [{"rfilename": n} for n in there]
            found = {"id": "o/m", "sha": "a" * 40, "private": False, "siblings": files}
            self.give(200, json.dumps(found).encode())
        elif not self.path.startswith("/o/m/resolve/"):
            self.give(401, **{"X-Error-Code": "RepoNotFound"})
        elif self.gated and self.asked[-1] != f"Bearer {TOKEN}":
            self.give(403, **{"X-Error-Code": "GatedRepo"})
        else:
            data = (self.folder / self.path.rsplit("/", 1)[-1]).read_bytes()
            mark = {"ETag": hashlib.sha256(data).hexdigest(), "X-Repo-Commit": "a" * 40}
            self.give(200, data, **mark)

    do_HEAD = do_GET

    def give(self, status: int, data: bytes = b"", **headers) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data if self.command == "GET" else b"")


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The handler's class of a running hub; tests change it."""
    for name in ("HF_TOKEN", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "there").mkdir()
    for name in (*SMALL, *WEIGHTS, *OTHERS):
        (tmp_path / "there" / name).write_text(name)
    handler = type("Served", (Hub,), {"asked": [], "folder": tmp_path / "there"})
    with serving(handler) as handler.address:
        redirect(monkeypatch, handler.address, tmp_path)
        yield handler


def redirect(monkeypatch, address, tmp_path) -> None:
    here = {"endpoint": address, "cache_dir": tmp_path / "cache"}
    take = functools.partial(huggingface_hub.snapshot_download, **here)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", take)


def names(folder) -> set[str]:
    return {file.name for file in folder.rglob("*")}


def test_small_files_first_then_safetensors_and_nothing_else(served, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: "hf_of_a_login")
    assert names(hub.model("o/m", weights=False)) == SMALL
    assert names(hub.model("o/m")) == SMALL | WEIGHTS
    assert set(served.asked) == {None}


def test_a_gated_model_says_what_to_accept_and_takes_a_token(served, monkeypatch, caplog, capfd):
    served.gated = True
    with pytest.raises(QlabError, match=r"GatedRepoError, without .*https://huggingface\.co/o/m"):
        hub.model("o/m")
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    with pytest.raises(QlabError, match="GatedRepoError, with HF_TOKEN") as refused:
        hub.model("o/m")
    with pytest.raises(QlabError, match="o/x .RepositoryNotFoundError.* check the name"):
        hub.model("o/x")
    monkeypatch.setenv("HF_TOKEN", f" {TOKEN}\n")
    assert names(hub.model("o/m")) == SMALL | WEIGHTS
    told = str(refused.value) + caplog.text + "".join(capfd.readouterr())
    assert "hf_of_somebody_else" not in told and TOKEN not in told


def test_offline_takes_what_is_there_or_says_so(served, monkeypatch, tmp_path):
    there = hub.model("o/m")
    redirect(monkeypatch, NOWHERE, tmp_path)
    assert hub.model("o/m") == there
    for offline in (False, True):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
        with pytest.raises(QlabError, match=r"did not give o/x \(LocalEntryNotFound.* network"):
            hub.model("o/x")


def test_lambada_is_taken_only_as_published(server, monkeypatch):
    folder, address = server
    (folder / "lambada_test.jsonl").write_text('{"text": "a b"}\n')
    monkeypatch.setattr(hub, "LAMBADA", f"{address}/lambada_test.jsonl")
    with pytest.raises(QlabError, match=r"the known hash: expected sha256:4aa8d02.*abdb226"):
        hub.lambada()
    own = file_sha256(folder / "lambada_test.jsonl")
    monkeypatch.setattr(hub, "LAMBADA_SHA256", own)
    assert hub.lambada().read_text() == '{"text": "a b"}\n'
