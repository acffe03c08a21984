"""The notebooks' contract: their form, a run at `smoke`, and a second one that agrees."""

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
import yaml
from conftest import NOTEBOOKS, ROOT

SMOKE_SECONDS = 60 * float(os.environ.get("QLAB_SLOWNESS", "3"))  # CI machines are shared


TABLE = yaml.safe_load((ROOT / "workflow" / "notebooks.yaml").read_text(encoding="utf-8"))


def code_cells(notebook: Path) -> list:
    return [c for c in nbformat.read(notebook, 4).cells if c.cell_type == "code"]


each = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)


@each
def test_form(notebook):
    book = nbformat.read(notebook, 4)
    text = "\n".join(c.source for c in book.cells if c.cell_type == "markdown")
    first = book.cells[0].source
    assert first.startswith("# ") and re.search(r"^\*\*.+\?\*\*$", first, re.M | re.S)
    sections = "What you'll do|What you'll need|What we found|In practice|Further reading"
    places = [text.find(f"## {section}") for section in sections.split("|")]
    assert -1 not in places and places == sorted(places)
    picture = re.search(r"!\[.+\]\((.+?)\)", first)
    assert (notebook.parent / picture[1]).resolve().is_file()

    cells = code_cells(notebook)
    assert "parameters" in cells[0].metadata.tags
    assert all(
        "  # " in line for line in cells[0].source.splitlines() if line[:4] not in ("", "from")
    )
    small = ("small",) if TABLE.get(notebook.stem, {}).get("small") else ()
    choices = re.search(r"^profile: Literal(\[.+\]) =", cells[0].source, re.M)[1]
    assert ast.literal_eval(choices) == ["smoke", "mini", *small, "full"]
    lines = [len(c.source.splitlines()) for c in cells]
    assert max(lines) <= 30 and statistics.median(lines) <= 8
    code = "\n".join(c.source for c in cells)
    assert not re.search(r"^\s*[!%]", code, re.M), "shell lines, magics"
    assert not re.search(r"""["']\.{1,2}/""", code), "a path that depends on where one stands"
    assert "papermill" not in book.metadata
    assert not [c for c in cells if c.outputs or c.execution_count]


def python(home: Path, *arguments: str, seconds: float = 900) -> subprocess.CompletedProcess:
    environment = {**os.environ, "QLAB_HOME": str(home), "CI": "true"}
    options = {"env": environment, "capture_output": True, "text": True, "timeout": seconds}
    return subprocess.run([sys.executable, "-m", *arguments], **options)


@each
def test_runs_at_smoke_and_again_with_the_same_numbers(notebook, shared_home, tmp_path):
    """What papermill produced, executed again; what is expensive to make is there by then."""
    call = ["qlab", "run", str(notebook), "-p", "profile=smoke"]
    done = python(shared_home, *call, seconds=SMOKE_SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    executed = shared_home / "build" / "smoke" / "notebooks" / notebook.name
    cells = code_cells(executed)
    assert all(c.execution_count for c in cells)
    text = json.dumps([c.get("outputs") for c in cells])
    assert str(ROOT) not in text and os.path.expanduser("~") + "/" not in text
    assert any(o.get("data", {}).get("image/png") for c in cells for o in c.outputs)
    tags = [c.metadata.get("tags", []) for c in cells if c.outputs]
    assert not all("nbval-ignore-output" in t for t in tags), "nbval would pass on nothing"
    for file in (executed, ROOT / "notebooks" / "conftest.py"):
        shutil.copy(file, tmp_path)
    how = ["-q", "-p", "no:cacheprovider", "--nbval-cell-timeout", "600", "--rootdir"]
    place = [str(tmp_path), "--nbval", str(tmp_path / notebook.name)]
    said = python(shared_home, "pytest", *how, *place).stdout
    assert " passed" in said and " failed" not in said, said[-4000:]
