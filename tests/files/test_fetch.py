"""Downloads, against a server on loopback, and hub models: hash, refusal, no network."""

import contextlib
import tarfile
import zipfile
from types import SimpleNamespace
from unittest.mock import Mock

import huggingface_hub
import pytest
from conftest import served
from huggingface_hub import errors
from huggingface_hub.utils import filter_repo_objects

from qlab.core import paths
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.files import fetch, hub


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder served on loopback: (folder, address)."""
    monkeypatch.setenv("QLAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CI", "1")
    folder = tmp_path / "served"
    folder.mkdir()
    with served(folder) as address:
        yield folder, address


def test_an_archive_is_fetched_checked_unpacked_and_kept(server):
    folder, address = server
    file = folder / "data.zip"
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("annotations/a", "x")
    with pytest.raises(QlabError, match="does not match the known hash: expected sha256:0000"):
        fetch.fetch(f"{address}/data.zip", "sha256:" + "0" * 64)
    assert not list((paths.build() / "downloads").glob("*zip*"))
    first = fetch.fetch(f"{address}/data.zip", f"sha256:{file_sha256(file)}", unpack=True)
    assert (first / "annotations" / "a").read_text() == "x"
    file.unlink()  # a second call needs no server
    assert fetch.fetch(f"{address}/data.zip", "sha256:0", unpack=True) == first
    for url in (f"{address}/missing.zip", "http://127.0.0.1:9/none.zip"):
        with pytest.raises(QlabError, match=r"could not be downloaded \(\w+\); give local paths"):
            fetch.fetch(url, None)


def test_a_known_download_is_qlab_datas_or_the_part_of_an_archive(server, tmp_path, monkeypatch):
    folder, address = server
    with zipfile.ZipFile(folder / "set.zip", "w") as made:
        made.writestr("inner/a", "x")
    told = {"local": "sets/mine", "url": f"{address}/set.zip", "unpacked": "inner"}
    told["hash"] = f"sha256:{file_sha256(folder / 'set.zip')}"
    monkeypatch.setitem(fetch.KNOWN, "mine", told)
    monkeypatch.delenv("QLAB_DATA", raising=False)
    assert (fetch.get("mine") / "a").read_text() == "x"
    monkeypatch.setenv("QLAB_DATA", str(tmp_path / "real"))
    (tmp_path / "real" / "sets" / "mine").mkdir(parents=True)
    assert fetch.get("mine") == tmp_path / "real" / "sets" / "mine"


@pytest.mark.parametrize("climbs", ["../../escaped", "{there}/escaped"])
def test_no_member_leaves_the_folder(server, tmp_path, climbs):
    folder, address = server
    with tarfile.open(folder / "data.tar.gz", "w:gz") as made:
        made.addfile(tarfile.TarInfo(climbs.format(there=tmp_path)))
    with contextlib.suppress(tarfile.OutsideDestinationError):
        fetch.fetch(f"{address}/data.tar.gz", None, unpack=True)
    assert [p for p in tmp_path.rglob("escaped") if ".unpacked" not in str(p)] == []


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The hub's answer to a download, and what it was asked for."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    answer = Mock(return_value=str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", answer)
    return answer


def test_of_a_hub_model_safetensors_and_json_are_taken_and_no_logins_token(asked, monkeypatch):
    small = {"config.json", "generation_config.json", "tokenizer.json", "vocab.txt"}
    weights = {"model.safetensors.index.json", "model-1-of-2.safetensors"}
    others = {"pytorch_model.bin", "consolidated.safetensors", "evil.py", "original/m.safetensors"}
    for with_weights, expected in ((False, small), (True, small | weights)):
        hub.model("o/m", with_weights)
        every = small | weights | others
        wanted = asked.call_args.kwargs
        found = filter_repo_objects(every, allow_patterns=wanted["allow_patterns"])
        assert set(found) == expected and wanted["token"] is False
    monkeypatch.setenv("HF_TOKEN", " hf_own\n")
    assert hub.model("o/m").is_dir() and asked.call_args.kwargs["token"] == "hf_own"


def test_a_model_that_does_not_come_says_what_to_do(asked, monkeypatch):
    for error in (errors.GatedRepoError, errors.RepositoryNotFoundError):
        asked.side_effect = error("no", response=SimpleNamespace(headers={}, request=None))
        with pytest.raises(QlabError, match=rf"{error.__name__}, without .*accept .*\.co/o/m"):
            hub.model("o/m")
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    with pytest.raises(QlabError, match="with HF_TOKEN.: check the name") as refused:
        hub.model("o/m")
    assert "hf_of" not in str(refused.value)
