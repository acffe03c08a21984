"""The notebooks' contract: their form, one run at `smoke`, and a second run that agrees."""

import ast
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import NOTEBOOKS, ROOT, fresh_home

from qlab.run import parameters

SECTIONS = [
    "What you'll do", "What you'll need", "What we found", "In practice", "Further reading",
]  # fmt: skip
SMOKE_SECONDS = 60 * float(os.environ.get("QLAB_SLOWNESS", "3"))  # CI machines are shared


def code_cells(notebook: Path) -> list:
    return [c for c in nbformat.read(notebook, 4).cells if c.cell_type == "code"]


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


each = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)


@each
def test_skeleton(notebook):
    cells = nbformat.read(notebook, 4).cells
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    first = cells[0].source
    assert first.startswith("# ") and re.search(r"^\*\*.+\?\*\*$", first, re.M | re.S)
    places = [text.find(f"## {s}") for s in SECTIONS]
    assert -1 not in places and places == sorted(places)
    picture = re.search(r"!\[.+\]\((.+?)\)", first)
    assert (notebook.parent / picture[1]).resolve().is_file()


@each
def test_parameters_are_the_first_code_cell_and_an_interface(notebook):
    cells = code_cells(notebook)
    assert "parameters" in tags(cells[0])
    declared = parameters.read_parameters(notebook)
    assert "profile" in declared
    assert all(p.help for p in declared.values())
    assert set(declared["profile"].choices) == {"smoke", "mini", "full"}


@each
def test_cells_are_short_and_tidy(notebook):
    cells = code_cells(notebook)
    lines = [len(c.source.splitlines()) for c in cells]
    assert max(lines) <= 25
    assert statistics.median(lines) <= 6
    code = "\n".join(c.source for c in cells)
    assert not re.search(r"^\s*[!%]", code, re.M), "shell lines and magics belong elsewhere"
    strings = [n.value for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Constant)]
    assert not [s for s in strings if isinstance(s, str) and re.match(r"\.{1,2}/", s)]
    assert not [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.FunctionDef)]


@each
def test_committed_notebooks_hold_no_outputs(notebook):
    raw = json.loads(notebook.read_text(encoding="utf-8"))
    assert "papermill" not in raw["metadata"]
    assert not [c for c in raw["cells"] if c.get("outputs") or c.get("execution_count")]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A fresh home, in which all notebooks run."""
    return fresh_home(tmp_path_factory.mktemp("first") / "home")


@pytest.fixture(scope="module")
def executed(home):
    """Runs a notebook at smoke, once, and returns the executed file."""
    done: dict[str, Path] = {}

    def run(notebook: Path) -> Path:
        if notebook.stem not in done:
            call = [sys.executable, "-m", "qlab", "run", str(notebook), "-p", "profile=smoke"]
            result = subprocess.run(
                call, env=here(home), capture_output=True, text=True, timeout=SMOKE_SECONDS
            )
            assert result.returncode == 0, result.stderr[-3000:]
            done[notebook.stem] = home / "build" / "smoke" / "notebooks" / notebook.name
        return done[notebook.stem]

    return run


def here(home: Path) -> dict[str, str]:
    return {**os.environ, "QLAB_HOME": str(home), "CI": "true"}


@each
def test_runs_at_smoke(notebook, executed):
    cells = code_cells(executed(notebook))
    assert all(c.execution_count for c in cells)
    text = json.dumps([c.get("outputs") for c in cells])
    assert str(ROOT) not in text and os.path.expanduser("~") + "/" not in text
    assert any(o.get("data", {}).get("image/png") for c in cells for o in c.outputs)


@each
def test_nbval_finds_what_papermill_found(notebook, executed, home, tmp_path):
    """What papermill produced, executed again; what is expensive to make is there by now."""
    compared = [c for c in code_cells(executed(notebook)) if "nbval-ignore-output" not in tags(c)]
    assert [c for c in compared if c.outputs], "nbval would pass on nothing"
    copy = shutil.copy(executed(notebook), tmp_path / notebook.name)
    shutil.copy(ROOT / "notebooks" / "conftest.py", tmp_path)
    result = nbval(copy, home)
    assert result.returncode == 0, result.stdout[-4000:]


def nbval(notebook: Path, home: Path) -> subprocess.CompletedProcess:
    call = [sys.executable, "-m", "pytest", "--nbval", str(notebook), "-q"]
    call += ["-p", "no:cacheprovider", "--rootdir", str(notebook.parent)]
    call += ["--nbval-cell-timeout", "600"]
    return subprocess.run(
        call, env=here(home), capture_output=True, text=True, cwd=notebook.parent, timeout=900
    )


def test_nbval_would_notice_another_number(tmp_path):
    """The comparison itself can fail: one changed output is one failure, stderr is none."""
    shutil.copy(ROOT / "notebooks" / "conftest.py", tmp_path)
    book = nbformat.v4.new_notebook()
    cell = nbformat.v4.new_code_cell("import sys\nprint(0.758)\nprint('new', file=sys.stderr)")
    cell.execution_count = 1
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="0.757\n"),
        nbformat.v4.new_output("stream", name="stderr", text="old\n"),
    ]
    book.cells.append(cell)
    path = tmp_path / "changed.ipynb"
    nbformat.write(book, path)
    noticed = nbval(path, tmp_path).stdout
    assert "1 failed" in noticed and "Cell outputs differ" in noticed
    cell.outputs[0]["text"] = "0.758\n"
    nbformat.write(book, path)
    assert "1 passed" in nbval(path, tmp_path).stdout
