"""What is given wrong is said in one sentence, before anything is begun: bad_input.yaml."""

import shlex
import sys

import nbformat
import papermill
import pytest
import yaml
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_notebook

from qlab.core.errors import QlabError
from qlab.run import cli

sys.path.insert(0, str(ROOT / "workflow"))
import sweep  # noqa: E402

TABLE = yaml.safe_load((ROOT / "tests" / "bad_input.yaml").read_text(encoding="utf-8"))
LOOK = """\
from typing import Literal
profile: Literal["smoke", "mini"] = "mini"  # how much to run
threads: int = 2  # CPU threads
model: str = ""  # a folder with a model
rates: list[float] = []  # learning rates"""
FREE = 'profile: str = "mini"  # any'


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    for name, cell in (("01_look", LOOK), ("04_free", FREE)):
        cells = [new_code_cell(cell, metadata={"tags": ["parameters"]}), new_code_cell("1 + 1")]
        nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / f"{name}.ipynb")
    (tmp_path / "notebooks/02_bad.ipynb").write_text("not json")
    nbformat.write(new_notebook(), tmp_path / "notebooks/03_bare.ipynb")
    (tmp_path / "file").touch()
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(papermill, "execute_notebook", lambda *_, **__: pytest.fail("it began"))
    return tmp_path


CALLS = [(cli.app, *row) for row in TABLE["qlab"]] + [(sweep.app, *row) for row in TABLE["sweeps"]]


@pytest.mark.parametrize(("app", "arguments", "words"), CALLS, ids=[row[1] for row in CALLS])
def test_the_command_line_says_it(home, capsys, app, arguments, words):
    assert cli.main(shlex.split(arguments), app) == 2
    said = capsys.readouterr()
    assert said.err.startswith("qlab: ") and said.err.count("\n") == 1 and not said.out
    assert words in said.err and "hf_planted" not in said.err
    assert not list(home.rglob("*.csv")) and not list(home.glob("build/**/*.ipynb"))


@pytest.mark.parametrize(("change", "words"), TABLE["sweep"], ids=lambda part: str(part)[:60])
def test_a_description_of_a_sweep_says_it(change, words):
    axes = {"method": ["rtn"], "bits": [4], "group": [64], "model": ["m"]}
    good = {"experiment": "llama_gptq", "axes": axes}
    assert len(sweep.sweep("s", good).points) == 2
    with pytest.raises(QlabError) as caught:
        sweep.sweep("s", good | change)
    said = str(caught.value)
    assert said.startswith("The sweep 's': ") and words in said and "\n" not in said
