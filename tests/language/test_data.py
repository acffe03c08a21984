"""The parameters of notebook 02 become a checked task, or one sentence."""

from types import SimpleNamespace

import pytest
import tiny_llama
from tiny_llama import jsonl, prepare

from qlab.core.errors import QlabError
from qlab.files import fetch, hub
from qlab.language import device
from qlab.language.lambada import TRAINING

TEXTS = [f"On day {i} they met and said good {w}" for i, w in enumerate("abcdefghijkl")]


def memory(monkeypatch, free):
    monkeypatch.setattr(device.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))


@pytest.fixture(autouse=True)
def home(shared_home, monkeypatch):
    monkeypatch.setenv("QLAB_HOME", str(shared_home))
    memory(monkeypatch, 64 * 10**9)


@pytest.fixture
def own(tmp_path):
    tiny_llama.write(tmp_path / "tiny")
    return {"model": str(tmp_path / "tiny"), "passages": jsonl(tmp_path / "own.jsonl", TEXTS)}


def texts(passages):
    return [p.text for p in passages]


def test_own_passages_are_split_between_calibration_and_evaluation(own, tmp_path):
    task = prepare(**own)
    assert texts(task.calibration) == TEXTS[:3] and texts(task.passages) == TEXTS[3:]
    assert task.notes[0].startswith("No calibration passages given: the first 3 passages calib")
    again = jsonl(tmp_path / "again.jsonl", [*TEXTS, TEXTS[0].replace(" ", "  ")])
    assert texts(prepare(**own | {"passages": again}).passages) == TEXTS[3:]
    asked = prepare(**own, calibration_count=5, limit=4)
    assert texts(asked.calibration) == TEXTS[:5] and texts(asked.passages) == TEXTS[5:9]
    assert texts(asked.training) == TEXTS[9:]


def test_what_calibrates_or_trains_never_evaluates(own, tmp_path):
    held = jsonl(tmp_path / "held.jsonl", ["A b c", TEXTS[4].replace(" they", "\n\nthey")])
    told = "1 of 2 calibration passages are among .* day 4 they met and said good e'"
    with pytest.raises(QlabError, match=told):
        prepare(**own, calibration=held)
    assert prepare(**own, calibration=held, limit=4).passages  # the fifth is left out
    assert prepare(**own).training == []
    assert len(prepare(**own, training="mini_lambada").training) == TRAINING["smoke"]
    lessons = jsonl(tmp_path / "lessons.jsonl", ["A b c", "word " * 90 + "end"])
    task = prepare(**own, training=lessons)
    assert texts(task.training)[0] == "A b c" and len(task.training_tokens[1]) == 64
    with pytest.raises(QlabError, match="12 of 12 training passages are among the evaluated"):
        prepare(**own, calibration="mini_lambada", training=own["passages"])


def test_the_data_folder_is_searched(own, tmp_path, monkeypatch):
    """Llama-3.2-3B and LAMBADA where QLAB_DATA has them; its passages may be others."""
    data = tmp_path / "data"
    (data / "lambada").mkdir(parents=True)
    jsonl(data / "lambada" / "lambada_test.jsonl", TEXTS)
    for name in ("Llama-3.2-3B", "small"):
        tiny_llama.write(data / "llm" / name)
    monkeypatch.setenv("QLAB_DATA", str(data))
    task = prepare("full")
    assert (task.model, task.dataset) == ("Llama-3.2-3B", "lambada_test")
    assert (len(task.calibration), len(task.passages)) == (3, 9)
    for name in ("small", "someone/small"):
        assert prepare("full", model=name).folder == data / "llm" / "small"


def test_a_real_profile_downloads_small_files_then_weights(own, tmp_path, monkeypatch):
    asked, model = [], "HuggingFaceTB/SmolLM2-135M-Instruct"

    def download(name, weights=True):
        asked.append((name, weights))
        return tmp_path / "tiny"

    monkeypatch.setattr(hub, "model", download)
    monkeypatch.setattr(fetch, "fetch", lambda *_: tmp_path / "own.jsonl")
    assert prepare("small").model == "SmolLM2-135M-Instruct"
    assert asked == [(model, False), (model, True)]
    memory(monkeypatch, 10**4)
    with pytest.raises(QlabError, match="The CPU needs"):
        prepare("small", model="someone/else")
    assert asked[2:] == [("someone/else", False)]  # no gigabytes for a machine too small for them


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": "/no/such/model"}, "no model folder or GGUF file at /no/such"),
        ({"model": __file__}, "a file that ends in .gguf, or a name"),
        ({"calibration_count": 12}, "12 passages cannot be split into 12 that calibrate"),
        ({"device": "cuda"}, "no GPU that PyTorch can see"),
    ],
)
def test_parameters_that_cannot_be_met(own, changes, sentence):
    with pytest.raises(QlabError, match=sentence):
        prepare(**own | changes)
