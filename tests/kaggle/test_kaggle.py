"""Kaggle without Kaggle: a made-up /kaggle, what is attached, earlier outputs, kernels, the cell.

That the notebooks run there is proved by workflow/kaggle/prove.py, in an environment with the
image's versions.
"""

import json
import os
import re
import shutil
import sys
import time
import tomllib
from pathlib import Path
from unittest.mock import Mock

import nbformat
import pytest
import yaml
from conftest import NOTEBOOKS, ROOT

from qlab.core import cache, paths, secrets
from qlab.core.errors import QlabError

HERE = ROOT / "workflow" / "kaggle"
sys.path.append(str(HERE))
import bundle  # noqa: E402
import kernels  # noqa: E402
import session  # noqa: E402

SET = ("QLAB_HOME", "QLAB_DATA", "QLAB_STOP_AT", "HF_HUB_OFFLINE", "HF_TOKEN", "PYTHONPATH")


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """An empty /kaggle in a session of its own, offline; what is set there is undone afterwards."""
    for name in SET:
        monkeypatch.setenv(name, "")  # so that monkeypatch knows them, and takes them back
        monkeypatch.delenv(name)
    folder = tmp_path / "kaggle"
    (folder / "input").mkdir(parents=True)
    (folder / "working").mkdir()
    monkeypatch.setenv("QLAB_KAGGLE", str(folder))
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setattr(session, "online", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda _: None)  # no nvidia-smi
    return folder


def file(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("newer", [True, False], ids=["kind and owner", "name alone"])
def test_what_the_table_names_is_found_however_it_is_mounted(kaggle, newer):
    wants = yaml.safe_load((HERE / "kernels.yaml").read_text())
    table = {k: v for entry in wants.values() for k, v in entry["attach"].items()}
    for what in table.values():
        parts = what.replace("*", "me").lower().split("/")
        file(kaggle / "input" / "/".join(parts if newer else parts[2:]) / "it")
    said = list(session.attached(ROOT, kaggle / "input", kaggle / "view"))
    assert all((kaggle / "view" / place / "it").is_file() for place in table)
    assert [s.split()[1] for s in said] == list(table)


@pytest.mark.parametrize("fits", [True, False])
def test_earlier_work_goes_on_and_is_not_made_again(kaggle, monkeypatch, fits):
    earlier = kaggle / "input" / "notebooks" / "me" / "qlab-02" / "qlab"
    monkeypatch.setenv("QLAB_HOME", str(earlier))
    found = cache.artefact("toy", {"a": 1}, lambda f: file(f / "it" / "x", "old") and None)
    file(earlier / "data" / "results" / "mini" / "mine.csv", "old")
    for path in earlier.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.setattr(session, "OUTPUT", session.OUTPUT if fits else 10)
    own = file(kaggle / "working" / "qlab" / "data" / "results" / "mini" / "mine.csv", "own")
    said = "\n".join(session.prepare(ROOT))
    assert ("what it made is copied" in said) == fits != ("linked, for want of room" in said)
    never = {}  # a KeyError, if it were made again
    found = cache.artefact("toy", {"a": 1}, lambda _: never["made again"])
    assert (found / "it" / "x").read_text() == "old" and (found / "it" / "x").is_symlink() != fits
    assert found.parent.stat().st_mode & 0o200 and own.read_text() == "own"  # it can be written to


def test_a_session_made_ready(kaggle, monkeypatch):
    said = "\n".join(session.prepare(ROOT))
    home = kaggle / "working" / "qlab"
    assert paths.home() == home.resolve() and (paths.models() / "llama_mini").is_dir()
    assert paths.real_data().is_relative_to((kaggle / "temp").resolve())  # not saved by Kaggle
    assert os.environ["HF_HUB_OFFLINE"] == "1" and "The internet is off" in said
    assert 11 < (float(os.environ["QLAB_STOP_AT"]) - time.time()) / 3600 < 12
    assert "There is no GPU" in said and f"Results go to {home}" in said and "Found no data" in said
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE")
    with pytest.raises(SystemExit, match="no session of Kaggle; elsewhere, use make install"):
        list(session.prepare(ROOT))


def test_kaggles_secret_is_the_token_and_hidden_like_any(kaggle, monkeypatch):
    client = Mock(return_value=Mock(get_secret="value of {}".format))
    monkeypatch.setitem(sys.modules, "kaggle_secrets", Mock(UserSecretsClient=client))
    monkeypatch.setattr(session, "online", lambda: True)
    said = "\n".join(session.prepare(ROOT))
    assert os.environ["HF_TOKEN"] == "value of HF_TOKEN" in secrets.known()
    assert "value of" not in said and "There is no HF_TOKEN" not in said
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setitem(sys.modules, "kaggle_secrets", None)
    assert "There is no HF_TOKEN (Add-ons, Secrets)" in "\n".join(session.prepare(ROOT))


def listed(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {session._plain(name): version for name, version in pairs}


def test_what_is_missing_is_locked_at_the_same_version_and_not_in_the_image():
    missing, image = (listed(f"workflow/kaggle/{name}.txt") for name in ("missing", "image"))
    assert missing and missing.items() <= listed("requirements.lock").items()
    assert {"torch", "tensorflow", "numpy"} <= set(image) and not set(image) & set(missing)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [project["optional-dependencies"][extra] for extra in ("tflite", "qat", "llm", "hub")]
    wanted = [re.match(r"[\w.-]+", one)[0] for one in sum(extras, project["dependencies"])]
    assert {session._plain(name) for name in wanted} - {"qlab"} <= {*image, *missing}


@pytest.mark.parametrize("wheels", [True, False])
def test_only_what_is_missing_is_installed_without_its_dependencies(tmp_path, monkeypatch, wheels):
    project = tmp_path / "bundle" / "project"
    file(project / "workflow" / "kaggle" / "missing.txt", "# a\nNumPy==0.1\nno_such.thing==1\n")
    if wheels:
        (project.parent / "wheels").mkdir()
    run = Mock(return_value=Mock(returncode=0))
    monkeypatch.setattr(session.subprocess, "run", run)
    assert session.install(project).endswith("packages: no_such.thing==1.")
    call = run.call_args.args[0]
    assert "--no-deps" in call and not [word for word in call if word.startswith("NumPy")]
    assert ("--no-index" in call) == wheels
    assert run.call_args.kwargs["env"]["BUILD_CUDA_EXT"] == "0"


def test_each_notebook_becomes_a_kernel_that_the_client_takes(tmp_path):
    """The rules of kaggle's kernels_push; the proof has the client itself read the folders."""
    folders = kernels.write("someone", tmp_path, ["profile=full"])
    assert [f.name for f in folders] == [n.stem for n in sorted(NOTEBOOKS)]
    for folder, source in zip(folders, sorted(NOTEBOOKS), strict=True):
        facts = json.loads((folder / "kernel-metadata.json").read_text())
        assert 5 <= len(facts["title"]) <= 50
        assert facts["id"] == "someone/" + re.sub(r"[^a-z0-9]+", "-", facts["title"].lower())
        assert facts["enable_internet"] is False and facts["is_private"] is True
        assert facts["dataset_sources"][0] == f"someone/{bundle.SLUG}"
        wanted = "NvidiaTeslaT4" if source.stem[:2] in ("02", "03") else None
        assert facts["enable_gpu"] == bool(wanted) and facts.get("machine_shape") == wanted
        nb = nbformat.read(folder / facts["code_file"], 4)
        nbformat.validate(nb)
        code = [cell for cell in nb.cells if cell.cell_type == "code"]
        assert code[0].source == (HERE / "cell.py").read_text()
        assert code[1].metadata.tags == ["parameters"] and code[2].source == "profile = 'full'"
        original = [c.source for c in nbformat.read(source, 4).cells]
        assert [c.source for c in nb.cells if c not in (code[0], code[2])][1:] == original[1:]
        (picture,) = nb.cells[0].attachments  # paths into the project lead nowhere on Kaggle
        assert f"](attachment:{picture})" in nb.cells[0].source and "../figures" not in str(nb)
    with pytest.raises(QlabError, match="No notebook has a parameter for profle=full"):
        kernels.write("someone", tmp_path, ["profle=full"])
