"""Kaggle without Kaggle: a fake /kaggle, found things, earlier outputs, kernels, and the cell.

That the notebooks run there is proved by workflow/kaggle/prove.py, in an environment with the
image's versions.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from conftest import NOTEBOOKS, ROOT

from qlab.classifier import data
from qlab.core import cache, disk, network, paths
from qlab.core.errors import QlabError
from qlab.detector import data as detection_task
from qlab.kaggle import bundle, earlier, inputs, install, kernels, session
from qlab.language import data as language_task

CELL = ROOT / "workflow" / "kaggle" / "cell.py"
SESSION = ("QLAB_HOME", "QLAB_DATA", "QLAB_STOP_AT", "HF_HUB_OFFLINE", "HF_TOKEN")


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """An empty /kaggle in a session of its own; what `session` sets is undone afterwards."""
    for name in SESSION:
        monkeypatch.setenv(name, "")  # so that monkeypatch knows them, and takes them back
        monkeypatch.delenv(name)
    folder = tmp_path / "kaggle"
    (folder / "input").mkdir(parents=True)
    (folder / "working").mkdir()
    monkeypatch.setenv("QLAB_KAGGLE", str(folder))
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    return folder


def file(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def llama(folder: Path) -> None:
    file(folder / "config.json", '{"model_type": "llama"}')
    file(folder / "model.safetensors")


def attach(root: Path) -> None:
    """One of everything, as Kaggle mounted it in different years and as makers nest it."""
    coco = root / "datasets" / "awsaf49" / "coco-2017-dataset" / "coco2017"
    file(coco / "annotations" / "instances_val2017.json", "{}")
    file(coco / "val2017" / "000000000139.jpg")
    file(coco / "train2017" / "000000000009.jpg")
    file(root / "my-lambada" / "lambada_test.jsonl", '{"text": "a b"}\n')
    llama(root / "models" / "metaresearch" / "llama-3.2" / "transformers" / "3b" / "1")
    llama(root / "datasets" / "me" / "small" / "stories260K")
    cifar = root / "cifar10-python" / "cifar-10-batches-py"
    file(cifar / "data_batch_1")
    file(cifar / "test_batch")
    net = root / "models/tensorflow/centernet-resnet/tensorflow2/50v2-512x512/1"
    file(net / "saved_model.pb")
    file(net / "variables" / "variables.index")
    file(root / "me" / "tiny" / "pretrainedResnet.h5")


def test_everything_attached_is_found_where_a_folder_of_real_data_has_it(kaggle, monkeypatch):
    attach(kaggle / "input")
    sentences = inputs.view(inputs.find(kaggle / "input"), kaggle / "view")
    assert len(sentences) == 9 and all(s.startswith("Found ") for s in sentences)
    monkeypatch.setenv("QLAB_DATA", str(kaggle / "view"))
    truth, images = detection_task._coco("val")
    assert truth.read_text() == "{}" and (images / "000000000139.jpg").is_file()
    assert (detection_task._coco_train() / "000000000009.jpg").is_file()
    assert language_task._evaluation_file("full", "", 0).read_text() == '{"text": "a b"}\n'
    assert (language_task._local(language_task.FULL_MODEL) / "config.json").is_file()
    assert language_task._local("stories260K").is_dir()
    assert (data._cifar10() / "cifar-10-batches-py" / "test_batch").is_file()
    assert data._mlperf_tiny().is_file()
    assert (detection_task._default_model("full") / "saved_model.pb").is_file()


def test_of_two_alike_both_are_named_and_none_is_taken(kaggle):
    attach(kaggle / "input")
    llama(kaggle / "input" / "other" / "stories260K")
    sentences = inputs.view(inputs.find(kaggle / "input"), kaggle / "view")
    (said,) = (s for s in sentences if "more than once" in s)
    assert "me/small/stories260K and " in said and "other/stories260K: none is used" in said
    assert not (kaggle / "view" / "llm" / "stories260K").exists()
    assert (kaggle / "view" / "llm" / "Llama-3.2-3B").exists()


@pytest.mark.parametrize(
    "path, text",
    [
        ("d/lambada_notes.jsonl", "no JSON"),
        ("d/lambada.jsonl", '["a list"]'),
        ("d/config.json", '{"model_type": "llama"}'),  # no weights
        ("d/saved_model.pb", "x"),  # no variables
        ("d/val2017/readme.txt", "x"),
        ("d/data_batch_1", "x"),  # no test batch
        ("/".join("abcdefghij") + "/pretrainedResnet.h5", "x"),  # too deep
    ],
)
def test_what_only_looks_like_it_is_not_found(kaggle, path, text):
    file(kaggle / "input" / path, text)
    assert inputs.find(kaggle / "input") == []


def test_the_projects_own_models_and_earlier_outputs_are_no_data(kaggle):
    project = kaggle / "input" / "bundle" / "project"
    llama(project / "data" / "models" / "llama_mini")
    file(project / "src" / "qlab" / "__init__.py")
    home = kaggle / "input" / "notebooks" / "me" / "qlab-02" / "qlab"
    llama(home / "build" / "artefacts" / "llama" / "0123")
    assert inputs.find(kaggle / "input") == []
    assert earlier.homes(kaggle / "input") == [home]


def made(home: Path, monkeypatch) -> Path:
    """An artefact, a half-made one and a record, as a run with this home leaves them."""
    monkeypatch.setenv("QLAB_HOME", str(home))
    found = cache.artefact("toy", {"a": 1}, lambda f: file(f / "it" / "x", "old") and None)
    file(found.with_name("ff.partial-12345678") / "layer-00000.json")
    file(home / "data" / "results" / "full" / "llama_gptq.csv", "old")
    return found


def never(_) -> None:
    raise AssertionError("made again")


def test_earlier_work_is_copied_and_not_made_again(kaggle, monkeypatch):
    old = kaggle / "input" / "notebooks" / "me" / "qlab-02" / "qlab"
    made(old, monkeypatch)
    for path in old.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    home = kaggle / "working" / "qlab"
    own = file(home / "data" / "results" / "mini" / "llama_gptq.csv", "own")
    said = earlier.take_over(old, home)
    assert re.search(r"3 things it made \(\d KB\) are copied, and are not made again\.$", said)
    monkeypatch.setenv("QLAB_HOME", str(home))
    found = cache.artefact("toy", {"a": 1}, never)
    assert (found / "it" / "x").read_text() == "old" and not found.is_symlink()
    (half,) = found.parent.glob("*.partial-*")
    assert all(p.stat().st_mode & 0o200 for p in home.rglob("*"))  # it can be written to
    file(half / "layer-00001.json")
    assert own.read_text() == "own"
    assert "0 things" in earlier.take_over(old, home)  # nothing is overwritten


def test_without_room_earlier_work_is_linked(kaggle, monkeypatch):
    old = kaggle / "input" / "qlab-02" / "qlab"
    made(old, monkeypatch)
    home = kaggle / "working" / "qlab"
    home.mkdir()
    monkeypatch.setattr(disk, "KAGGLE_LIMIT", 10)
    assert "linked, for there is no room" in earlier.take_over(old, home)
    monkeypatch.setenv("QLAB_HOME", str(home))
    found = cache.artefact("toy", {"a": 1}, never)
    assert found.is_symlink() and (found / "it" / "x").read_text() == "old"
    (half,) = found.parent.glob("*.partial-*")
    assert not half.is_symlink()


def offline(monkeypatch) -> None:
    monkeypatch.setattr(network, "reachable", lambda _: False)
    monkeypatch.setattr(shutil, "which", lambda _: None)  # no nvidia-smi


def test_a_session_made_ready(kaggle, monkeypatch, capsys):
    attach(kaggle / "input")
    offline(monkeypatch)
    session.start(ROOT)
    said = capsys.readouterr().out
    home = kaggle / "working" / "qlab"
    assert paths.home() == home.resolve() and (paths.models() / "llama_mini").is_dir()
    assert paths.real_data().is_relative_to((kaggle / "temp").resolve())  # not saved by Kaggle
    assert os.environ["HF_HUB_OFFLINE"] == "1" and "The internet is off" in said
    assert 11 * 3600 < float(os.environ["QLAB_STOP_AT"]) - time.time() < 12 * 3600
    assert "There is no GPU" in said and f"Results go to {home}" in said
    shutil.rmtree(kaggle / "input" / "my-lambada")  # detached; the cell is run again
    monkeypatch.delenv("QLAB_DATA")
    mine = file(home / "data" / "results" / "mini" / "mine.csv")
    session.start(ROOT)
    assert "LAMBADA" not in capsys.readouterr().out and mine.is_file()
    assert not (paths.real_data() / "lambada" / "lambada_test.jsonl").exists()


def test_a_session_elsewhere_is_refused(monkeypatch):
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    with pytest.raises(QlabError, match="no session of Kaggle .* use make install"):
        list(session.prepare(ROOT))


def test_what_is_missing_is_locked_at_the_same_version():
    """Apart from what only Python 3.12 needs to be told."""
    locked = install.listed(ROOT / "requirements.lock")
    missing = install.listed(ROOT / "workflow" / "kaggle" / "missing.txt")
    assert missing and missing.items() <= locked.items()


def test_nothing_the_image_has_is_in_the_list():
    image = install.listed(ROOT / "workflow" / "kaggle" / "image.txt")
    missing = install.listed(ROOT / "workflow" / "kaggle" / "missing.txt")
    assert {"torch", "tensorflow", "numpy"} <= set(image)
    assert not set(image) & set(missing)


@pytest.fixture
def pip(monkeypatch):
    """The arguments of each call of pip, which is not called."""
    calls = []
    monkeypatch.setattr(install, "pip", lambda *what: calls.append([str(w) for w in what]))
    monkeypatch.setattr(install, "_refuse_another", lambda project: None)
    return calls


def test_only_what_is_missing_is_installed_from_the_wheels(kaggle, monkeypatch, pip):
    wheels = file(
        kaggle / "input/datasets/me/qlab-bundle/wheels/qlab-0.1.0-py3-none-any.whl"
    ).parent
    image = {"torch": "2.11.0+cu128", "numpy": "2.0.2", "mock": "5.0"}
    monkeypatch.setattr(install, "installed", lambda: dict(image))
    said = install.install(ROOT, kaggle / "input")
    (call,) = pip
    assert call[:5] == ["install", "--no-index", "--find-links", str(wheels), "qlab"]
    assert "auto-gptq==0.7.1" in call and not [part for part in call if part.startswith("mock")]
    assert said[1] == "The image's own stay as they were: torch 2.11.0+cu128, numpy 2.0.2."
    file(kaggle / "input/again/qlab-0.1.0-py3-none-any.whl")
    with pytest.raises(QlabError, match=r"Wheels of qlab lie in .*again and in .*wheels; detach"):
        install.install(ROOT, kaggle / "input")


def test_with_the_internet_auto_gptq_is_built_without_kernels(kaggle, monkeypatch, pip):
    monkeypatch.setattr("qlab.core.network.reachable", lambda _: True)
    monkeypatch.setattr(install, "installed", lambda: {"numpy": "2.0.2"})
    assert install.install(ROOT, kaggle / "input")[0].endswith("from PyPI.")
    first, second = pip
    assert not [part for part in first if part.startswith(("auto-gptq", "numpy"))]
    assert second == ["install", "--no-build-isolation", "auto-gptq==0.7.1"]
    assert install.PURE == {"BUILD_CUDA_EXT": "0"}


def test_neither_wheels_nor_network(kaggle, monkeypatch, pip):
    offline(monkeypatch)
    with pytest.raises(QlabError, match="neither wheels of qlab under /kaggle/input nor a network"):
        install.install(ROOT, kaggle / "input")
    assert pip == []


def test_a_package_of_the_image_that_changed_is_an_error(kaggle, monkeypatch, pip):
    file(kaggle / "input" / "w" / "qlab-0.1.0-py3-none-any.whl")
    answers = iter([{"torch": "2.11.0+cu128"}, {"torch": "2.14.1", "qlab": "0.1.0"}])
    monkeypatch.setattr(install, "installed", lambda: next(answers))
    with pytest.raises(QlabError, match=r"changed packages .*\(torch 2.11.0\+cu128 to 2.14.1\)"):
        install.install(ROOT, kaggle / "input")


def test_a_wheel_of_another_state_is_refused(tmp_path):
    """The test environment has qlab in place, so its own package folder is made up here."""
    source = tmp_path / "project" / "src" / "qlab"
    file(source / "a.py", "1")
    file(source / "b.py", "2")
    assert install._code(source) == install._code(shutil.copytree(source, tmp_path / "same"))
    file(source / "b.py", "3")
    assert install._code(source) != install._code(tmp_path / "same")


def run_cell(kaggle: Path) -> str:
    """What the cell says when it stops."""
    done = subprocess.run([sys.executable, CELL], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    return done.stderr


def test_the_cell_says_what_it_misses(kaggle):
    assert "qlab lies in no dataset under /kaggle/input: attach" in run_cell(kaggle)
    for owner in ("a", "b"):
        file(kaggle / "input" / "datasets" / owner / "project/src/qlab/kaggle/session.py")
    said = run_cell(kaggle)
    assert re.search(r"qlab lies in .*/a/project and in .*/b/project: attach its bundle once", said)


def test_each_notebook_becomes_a_kernel_that_the_client_takes(tmp_path):
    """The rules of kaggle's kernels_push; the proof has the client itself read the folders."""
    folders = kernels.write(tmp_path, "someone", ROOT, ["profile=full"])
    assert [f.name for f in folders] == [n.stem for n in sorted(NOTEBOOKS)]
    seen = set()
    for folder, source in zip(folders, sorted(NOTEBOOKS), strict=True):
        facts = json.loads((folder / "kernel-metadata.json").read_text())
        assert 5 <= len(facts["title"]) <= 50
        slug = re.sub(r"[^a-z0-9]+", "-", facts["title"].lower()).strip("-")
        assert facts["id"] == f"someone/{slug}" and slug not in seen
        seen.add(slug)
        assert (facts["language"], facts["kernel_type"]) == ("python", "notebook")
        assert facts["enable_internet"] is False and facts["is_private"] is True
        assert facts["dataset_sources"][0] == f"someone/{bundle.SLUG}"
        assert all(re.fullmatch(r"[\w-]+/[\w-]+", s) for s in facts["dataset_sources"])
        versioned = r"[\w-]+/[\w.-]+/\w+/[\w-]+/\d+"
        assert all(re.fullmatch(versioned, s) for s in facts["model_sources"])
        nb = nbformat.read(folder / facts["code_file"], 4)
        nbformat.validate(nb)
        code = [cell for cell in nb.cells if cell.cell_type == "code"]
        assert code[0].source == CELL.read_text()
        assert code[1].metadata.tags == ["parameters"] and code[2].source == "profile = 'full'"
        original = [c.source for c in nbformat.read(source, 4).cells]
        assert [c.source for c in nb.cells if c not in (code[0], code[2])][1:] == original[1:]
        (picture,) = nb.cells[0].attachments  # paths into the project lead nowhere on Kaggle
        assert f"](attachment:{picture})" in nb.cells[0].source and "../figures" not in str(nb)


def test_a_long_title_is_cut_to_what_kaggle_takes():
    facts = kernels.metadata("06_" + "very_" * 20 + "long", {}, "someone", full=False)
    assert len(facts["title"]) <= 50 and len(facts["id"]) <= len("someone/") + 50


def test_a_gpu_is_asked_for_where_the_full_profile_wants_one(tmp_path):
    def of(number: str, profile: str) -> dict:
        folders = kernels.write(tmp_path / profile, "someone", ROOT, [f"profile={profile}"])
        (folder,) = (f for f in folders if f.name.startswith(number))
        return json.loads((folder / "kernel-metadata.json").read_text())

    assert of("02", "full")["enable_gpu"] and of("02", "full")["machine_shape"] == "NvidiaTeslaT4"
    assert not of("02", "smoke")["enable_gpu"] and "machine_shape" not in of("02", "smoke")
    assert not of("04", "full")["enable_gpu"]


@pytest.mark.parametrize(
    "user, parameters, sentence",
    [
        ("some one", [], "no user's name on Kaggle"),
        ("someone", ["profle=full"], "No notebook has a parameter for 'profle=full'"),
        ("someone", ["profile=huge"], "profile"),
    ],
)
def test_kernels_refuse_what_is_wrong(tmp_path, user, parameters, sentence):
    with pytest.raises(QlabError, match=sentence):
        kernels.write(tmp_path, user, ROOT, parameters)


def test_the_project_in_a_bundle_is_what_a_session_needs(tmp_path):
    bundle.copy_project(ROOT, tmp_path / "project")
    assert (tmp_path / "project" / "src" / "qlab" / "kaggle" / "session.py").is_file()
    assert (tmp_path / "project" / "data" / "models" / "llama_mini" / "model.safetensors").is_file()
    assert (tmp_path / "project" / "data" / "results" / "mini-long").is_dir()
    assert not list((tmp_path / "project").rglob("__pycache__"))
    session.fill(tmp_path / "home", tmp_path / "project")
    assert {p.name for p in (tmp_path / "home").iterdir()} == set(session.PARTS)
