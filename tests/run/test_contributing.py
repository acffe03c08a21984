"""CONTRIBUTING.md's recipes, carried out word for word in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import a_clone
import nbformat
import pandas as pd
import pytest
import test_notebooks
from conftest import ROOT

from qlab.core import paths
from qlab.core.errors import QlabError
from qlab.run import new_experiment

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"^## (Add a.+)\n", TEXT, re.M)
NAME = "round_a_bell_curve"


def recipe(title: str) -> str:
    """The text under a heading."""
    return re.search(rf"^## {title}\n(.+?)(?=^## |\Z)", TEXT, re.M | re.S)[1]


def steps(title: str) -> list[tuple[str, str, str]]:
    """The recipe's blocks: (words before it, language, block)."""
    words, *rest = re.split(r"^```(\w*)\n", recipe(title), flags=re.M)
    parts = [words, *rest]  # words, language, block, "", words, language, block, ""
    return [tuple(parts[at : at + 3]) for at in range(0, len(parts) - 1, 4)]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A copy of the project, in which nothing is made yet."""
    monkeypatch.setenv("CI", "true")
    return a_clone.of_the_project(tmp_path / "a clone", monkeypatch)


def follow(title: str, project: Path) -> None:
    """Do what a recipe says: write and append files, apply differences, run commands."""
    for words, language, block in steps(title):
        named = re.findall(r"(Write|Append\s+to|In) `([\w/.]+)`", words)
        if language == "sh":
            run(block, project)
            continue
        (verb, place), file = named[-1], project / named[-1][1]
        if language == "diff":
            file.write_text(edited(file.read_text(), block))
        elif verb == "Write":
            assert not file.exists(), place
            file.write_text(block)
        else:
            file.write_text(file.read_text() + "\n" + block)


def run(block: str, project: Path) -> None:
    """Run commands as they stand; only make is told that the copy's .venv is installed."""
    commands = re.sub(r"^make ", "make -o .venv/.installed ", block, flags=re.M)
    done = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=project, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def edited(text: str, block: str) -> str:
    """The text with each line of a difference that begins with - replaced by the + below it."""
    for old, new in re.findall(r"^-(.+)\n\+(.+)$", block, re.M):
        assert text.count(old) == 1, f"{old!r} is not in the file once"
        text = text.replace(old, new)
    return text


def records_of(project: Path, place: str) -> pd.DataFrame:
    """The records in the one file that a pattern under data/results/ names."""
    (file,) = (project / "data" / "results").glob(place)
    return pd.read_csv(file)


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_has_fewer_than_20_lines(title):
    lines = [line for line in recipe(title).splitlines() if line and not line.startswith("```")]
    assert len(lines) < 20, len(lines)


def test_there_are_four_recipes_and_no_step_is_overlooked():
    assert RECIPES == ["Add an experiment", "Add a variant", "Add a study", "Add a claim"]
    for title in RECIPES:
        assert len(steps(title)) == recipe(title).count("```") / 2 > 0


@pytest.mark.slow
def test_a_new_experiment_runs_and_keeps_the_notebooks_contract(project):
    follow("Add an experiment", project)
    found = records_of(project, f"smoke/{NAME}.csv").set_index("variant")["value"]
    assert found["rtn_w2"] > found["rtn_w4"] > found["rtn_w8"] > 0
    figure = project / "figures" / "smoke" / f"{NAME}.png"
    assert figure.read_bytes().startswith(b"\x89PNG")
    notebook = project / "notebooks" / f"06_{NAME}.ipynb"
    shutil.copytree(figure.parent, project / "figures" / "mini", dirs_exist_ok=True)
    for contract in (
        test_notebooks.test_skeleton,
        test_notebooks.test_parameters_are_the_first_code_cell_and_an_interface,
        test_notebooks.test_cells_are_short_and_tidy,
        test_notebooks.test_committed_notebooks_hold_no_outputs,
    ):
        contract(notebook)
    modules = [project / "src" / "qlab" / f"{NAME}{end}.py" for end in ("", "_figures")]
    for check in (["check"], ["format", "--check"]):
        call = [sys.executable, "-m", "ruff", *check, "--no-cache", "--config", "pyproject.toml"]
        subprocess.run([*call, *modules, notebook], cwd=project, check=True)


@pytest.mark.slow
def test_a_new_variant_is_measured(project):
    follow("Add a variant", project)
    [folder] = (project / "data" / "results").glob("smoke-llama_mini-*")
    found = records_of(project, f"{folder.name}/llama_gptq.csv")
    mine = found[(found["variant"] == "ternary_w2_g64") & (found["model"] == "llama_mini")]
    value = mine[mine["dataset"] == "mini_lambada"].set_index("metric")["value"]
    assert 0 <= value["acc"] <= 1 and value["size_scales_bytes"] > 0
    float_body = found[(found["variant"] == "fp32") & (found["metric"] == "size_body_bytes")]
    assert value["size_body_bytes"] < float_body["value"].iloc[0] / 3  # int8 in place of float32


@pytest.mark.slow
def test_a_new_study_changes_the_synthesis(project):
    follow("Add a study", project)
    found = records_of(project, "mini-evidence-*/evidence_synthesis.csv")
    whole = found[found["variant"] == "all_models"].set_index(["model", "metric"])["value"]
    assert whole["six_studies_and_given", "accuracy_studies"] == (
        whole["six_studies", "accuracy_studies"] + 1
    )
    for effect in ("accuracy", "storage_size"):
        belief = f"{effect}_belief"
        assert whole["six_studies_and_given", belief] != whole["six_studies", belief]


@pytest.mark.slow
def test_a_new_claim_gets_its_verdict(project):
    follow("Add a claim", project)
    found = records_of(project, "mini/claims.csv").set_index("variant")
    ledger = pd.read_csv(project / "figures" / "mini" / "claims_ledger.csv").set_index("id")
    assert "nf4_beats_gptq" in found.index
    assert ledger.loc["nf4_beats_gptq", "verdict"] in {"holds", "does_not_hold", "undecided"}


@pytest.mark.parametrize("stem", ["6_round", "06-round", "06_Round", "06_", "round", "06_a__b"])
def test_a_name_of_another_form_is_refused(stem):
    with pytest.raises(QlabError, match="two digits and small words"):
        new_experiment.create(stem)


def test_what_is_there_is_never_overwritten(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "06_other.ipynb").write_text("mine")
    (tmp_path / "src" / "qlab").mkdir(parents=True)
    (tmp_path / "src" / "qlab" / "records.py").write_text("mine")
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    for stem, there in (("06_new", "notebooks/06_other.ipynb"), ("07_records", "records.py")):
        with pytest.raises(QlabError, match=f"There is .*{there} already"):
            new_experiment.create(stem)
    assert len([f for f in tmp_path.rglob("*") if f.is_file()]) == 2


def test_the_notebook_form_is_a_notebook():
    given = {"stem": "06_a", "number": "06", "name": "a", "title": "A"}
    nbformat.validate(nbformat.reads(new_experiment._filled("notebook.ipynb.j2", given), 4))
    assert os.path.isdir(ROOT / "src" / "qlab" / "skeleton")


def test_the_changelog_keeps_its_form_and_knows_the_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    first, *released = re.findall(r"^## (.+)$", text, re.M)
    assert first == "[Unreleased]"
    dated = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", title) for title in released]
    assert dated[0][1] == project["version"]
    assert [d[2] for d in dated] == sorted((d[2] for d in dated), reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.M)) <= kinds
