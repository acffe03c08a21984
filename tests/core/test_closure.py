"""Which qlab modules a notebook depends on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qlab.core import closure
from qlab.core.errors import QlabError

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
        ("if True:\n    %time x = 1\n    from qlab import bottom", ["__init__.py", "bottom.py"]),
        ("%%time\nimport qlab.bottom", ["__init__.py", "bottom.py"]),
        ("%%bash\nimport qlab.bottom in no language", []),
    ],
)
def test_module_files(package, tmp_path, code, expected):
    found = closure.module_files(notebook(tmp_path, code))
    assert [str(path.relative_to(package)) for path in found] == expected


@pytest.mark.parametrize("text", ["", "{}", '{"cells": [{}]}'])
def test_what_is_no_notebook_is_named(tmp_path, text):
    (tmp_path / "broken.ipynb").write_text(text)
    for broken in (tmp_path / "broken.ipynb", notebook(tmp_path, "import import")):
        with pytest.raises(QlabError, match=f"{broken.name} is not readable as a notebook"):
            closure.module_files(broken)


MEASURE = """
import sys
from pathlib import Path
from qlab.core.cache import artefact, code_sha256
from qlab.room import middle

def make(folder):
    print("made anew")
    (folder / "answer").write_text(str(middle.twice()))

kept = artefact("kind", {"code": code_sha256("qlab.room.measure")}, make)
print((kept / "answer").read_text())
"""
ROOM = {
    "__init__.py": "",
    "measure.py": MEASURE,
    "middle.py": "from qlab.room import helper\n\ndef twice():\n    return 2 * helper.once()",
    "helper.py": "def once():\n    return 1",
}


def test_an_edit_two_imports_away_makes_an_artefact_anew(tmp_path):
    """In fresh processes, for what a process has loaded it does not load again."""
    package = tmp_path / "src" / "qlab"
    shutil.copytree(Path(closure.__file__).parent, package / "core")
    (package / "__init__.py").touch()
    (package / "room").mkdir()
    for name, code in ROOM.items():
        (package / "room" / name).write_text(code)

    def said() -> list[str]:
        told = os.environ | {"PYTHONPATH": str(tmp_path / "src"), "QLAB_HOME": str(tmp_path)}
        call = [sys.executable, "-m", "qlab.room.measure"]
        done = subprocess.run(call, env=told, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    assert said() == ["made anew", "2"]
    (package / "room" / "other.py").write_text("unused = 2")
    assert said() == ["2"]
    (package / "room" / "helper.py").write_text("def once():\n    return 21")
    assert said() == ["made anew", "42"]
