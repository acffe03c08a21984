"""Hub models and LAMBADA, against a server on loopback that answers as the hub does."""

import functools
import hashlib
import http.server
import json
import threading

import huggingface_hub
import pytest

from qlab.core import hub, network
from qlab.core.errors import QlabError

REACHABLE = network.reachable
TOKEN = "hf_not_a_real_one"
SMALL = {"config.json", "tokenizer.json"}
WEIGHTS = {"model.safetensors.index.json", *(f"model-{i}-of-2.safetensors" for i in "12")}
OTHERS = {"pytorch_model.bin", "consolidated.safetensors", "evil.py"}


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
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        handler.address = f"http://127.0.0.1:{server.server_port}"
        redirect(monkeypatch, handler.address, tmp_path)
        yield handler
        server.shutdown()


def redirect(monkeypatch, address, tmp_path) -> None:
    here = functools.partial(
        huggingface_hub.snapshot_download, endpoint=address, cache_dir=tmp_path / "cache"
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", here)
    monkeypatch.setattr(network, "reachable", lambda _: REACHABLE(address))


def names(folder) -> set[str]:
    return {file.name for file in folder.rglob("*")}


def test_small_files_first_then_safetensors_and_nothing_else(served, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: "hf_of_a_login")
    assert names(hub.model("o/m", weights=False)) == SMALL
    assert names(hub.model("o/m")) == SMALL | WEIGHTS
    assert set(served.asked) == {None}


def test_a_gated_model_says_what_to_accept_and_takes_a_token(served, monkeypatch, caplog, capfd):
    served.gated = True
    with pytest.raises(QlabError, match=r"there is no HF_TOKEN; .*https://huggingface\.co/o/m"):
        hub.model("o/m")
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    with pytest.raises(QlabError, match="this HF_TOKEN has no access to it; accept") as refused:
        hub.model("o/m")
    with pytest.raises(QlabError, match="shows no o/x to this HF_TOKEN; check the name"):
        hub.model("o/x")
    monkeypatch.setenv("HF_TOKEN", f" {TOKEN}\n")
    assert names(hub.model("o/m")) == SMALL | WEIGHTS
    told = str(refused.value) + caplog.text + "".join(capfd.readouterr())
    assert "hf_of_somebody_else" not in told and TOKEN not in told


def test_offline_takes_what_is_there_or_says_so(served, monkeypatch, tmp_path):
    there = hub.model("o/m")
    redirect(monkeypatch, "http://127.0.0.1:9", tmp_path)
    assert hub.model("o/m") == there
    for offline in (False, True):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
        with pytest.raises(QlabError, match=r"did not give o/x \(.*HF_HUB_OFFLINE=0; Kaggle"):
            hub.model("o/x")


def test_lambada_from_either_address_and_only_as_published(served, monkeypatch, home):
    monkeypatch.setenv("CI", "1")
    (served.folder / "lambada_test.jsonl").write_text('{"text": "a b"}\n')
    here = f"{served.address}/o/m/resolve/main/lambada_test.jsonl"
    monkeypatch.setattr(hub, "LAMBADA_ADDRESSES", (f"{served.address}/lambada_test.jsonl", here))
    with pytest.raises(QlabError, match=r"the known hash: expected sha256:4aa8d02.*abdb226"):
        hub.lambada()
    own = hashlib.sha256((served.folder / "lambada_test.jsonl").read_bytes()).hexdigest()
    monkeypatch.setattr(hub, "LAMBADA_SHA256", own)
    assert hub.lambada().read_text() == '{"text": "a b"}\n'
