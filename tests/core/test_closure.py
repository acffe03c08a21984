"""Which modules a notebook, or a cached file, depends on, and which tables beside them."""

import json
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from qlab.core import cache, closure
from qlab.core.errors import QlabError

sys.path.insert(0, str(ROOT / "workflow"))
import dependencies  # noqa: E402

MODULES = {
    "__init__.py": "",
    "top.py": "import numpy\nfrom qlab import middle",
    "middle.py": "def late():\n    from qlab.bottom import something",
    "bottom.py": "something = 1",
    "circle.py": "import qlab.circle",
    "part/__init__.py": "from . import inner",
    "part/inner.py": "from ..bottom import something",
}


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    root = tmp_path / "src" / "qlab"
    for name, code in MODULES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(code)
    # As in site-packages, where other packages lie beside it.
    (root.parent / "numpy").mkdir()
    (root.parent / "numpy" / "__init__.py").write_text("")
    monkeypatch.setattr(closure, "package", lambda: root)
    return root


def notebook(folder: Path, code: str) -> Path:
    cell = {"cell_type": "code", "source": [code]}
    prose = {"cell_type": "markdown", "source": "import qlab.bottom"}
    path = folder / "notebook.ipynb"
    path.write_text(json.dumps({"cells": [prose, cell]}))
    return path


@pytest.mark.parametrize(
    "code, expected",
    [
        ("import numpy", []),
        ("from qlab import top", ["__init__.py", "bottom.py", "middle.py", "top.py"]),
        ("def f():\n    import qlab.bottom", ["__init__.py", "bottom.py"]),
        ("from qlab import circle", ["__init__.py", "circle.py"]),
        ("import qlab.part", ["__init__.py", "bottom.py", "part/__init__.py", "part/inner.py"]),
        ("%matplotlib inline\n!ls\nfiles = !ls\nimport qlab.bottom", ["__init__.py", "bottom.py"]),
    ],
)
def test_module_files(package, tmp_path, code, expected):
    (package / "words.yaml").write_text("a: b")
    (package / "other").mkdir()
    (package / "other" / "metrics.yaml").write_text("b: {unit: s}")
    found = dependencies.module_files(notebook(tmp_path, code))
    expected = [*expected, "words.yaml"] if expected else []  # those of the room, no others
    assert [str(path.relative_to(package)) for path in found] == sorted(expected)


@pytest.mark.parametrize("text", ["", "{}", '{"cells": [{}]}'])
def test_what_is_no_notebook_is_named(tmp_path, text):
    (tmp_path / "broken.ipynb").write_text(text)
    for broken in (tmp_path / "broken.ipynb", notebook(tmp_path, "import import")):
        with pytest.raises(QlabError, match=f"{broken.name} is not readable as a notebook"):
            dependencies.module_files(broken)


def test_an_edit_two_imports_away_changes_the_hash_that_recipes_name(package):
    hashes = cache.code_sha256.__wrapped__  # what a process has read it does not read again
    before = hashes("qlab.top")
    (package / "circle.py").write_text("unused = 2")
    assert hashes("qlab.top") == before
    (package / "bottom.py").write_text("something = 2")
    changed = {name for name, found in hashes("qlab.top").items() if found != before[name]}
    assert changed == {"qlab.bottom"}
    with pytest.raises(ValueError, match="__main__ is no module of qlab"):
        hashes("__main__")
